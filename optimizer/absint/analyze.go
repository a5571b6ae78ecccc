package absint

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Options of an analysis.
type Options struct {
	// NoMapFacts: do not conclude from a map's size that lookups succeed.
	NoMapFacts bool
	// Callee gives the functions that calls go to; nil when unknown.
	Callee func(name string) *prog.Func
}

// Assumption is a fact about a map's definition that the analysis used.
type Assumption struct {
	Insn int // the call
	Map  *prog.Map
}

// Result is what is known of a function.
type Result struct {
	// Assumptions lists the lookups that are non-NULL because the map has more
	// entries than the key: a loader may resize it.
	Assumptions []Assumption

	a    *analysis
	memo map[int][]*State // by block
}

// wideFrom is the number of visits to a loop head after which it widens.
const wideFrom = 4

// narrowings is the number of descending passes.
const narrowings = 2

type analysis struct {
	f    *prog.Func
	g    *prog.CFG
	opt  Options
	in   []*State // by block
	used map[int]*prog.Map
	// hidden: a pointer of unknown origin may be the context.
	hidden bool
	// result is what a call of a subprogram gives, and whether it returns; nil:
	// anything.
	result func(in *prog.Insn) (Value, bool)
}

func newAnalysis(f *prog.Func, opt Options) *analysis {
	a := &analysis{f: f, g: prog.NewCFG(f), opt: opt, used: map[int]*prog.Map{}}
	a.hidden = f.SeesContext(prog.NewLiveness(a.g).Before[0], opt.Callee)
	return a
}

// Analyze computes the facts of f, which must satisfy prog.Check.
func Analyze(f *prog.Func, opt Options) *Result {
	return newAnalysis(f, opt).run()
}

func (a *analysis) run() *Result {
	f := a.f
	a.in = make([]*State, len(a.g.Blocks))
	for b := range a.in {
		a.in[b] = &State{}
	}
	a.in[0] = newState(f)
	a.ascend()
	for range narrowings {
		a.descend()
	}
	clear(a.used)
	res := &Result{a: a, memo: map[int][]*State{}}
	for _, b := range a.g.Order {
		a.flow(b)
	}
	for k := range f.Insns {
		if m := a.used[k]; m != nil {
			res.Assumptions = append(res.Assumptions, Assumption{k, m})
		}
	}
	return res
}

func (a *analysis) ascend() {
	heads := a.g.LoopHeads()
	visits := make([]int, len(a.g.Blocks))
	dirty := make([]bool, len(a.g.Blocks))
	dirty[0] = true
	for again := true; again; {
		again = false
		for _, b := range a.g.Order {
			if !dirty[b] {
				continue
			}
			dirty[b] = false
			again = true
			for t, out := range a.flow(b) {
				if !out.Reachable {
					continue
				}
				old := a.in[t]
				if old.Reachable {
					visits[t]++
				}
				j := old.join(out, heads[t] && visits[t] >= wideFrom)
				if !j.equal(old) {
					a.in[t] = j
					dirty[t] = true
				}
			}
		}
	}
}

// descend recomputes the states of all blocks from a solution. Each machine
// state comes from a predecessor's, so the result covers it as well.
func (a *analysis) descend() {
	for _, b := range a.g.Order {
		in := &State{}
		if b == 0 {
			in = newState(a.f)
		}
		for _, p := range a.g.Blocks[b].Preds {
			if out := a.flow(p)[b]; out != nil && out.Reachable {
				in = in.join(out, false)
			}
		}
		a.in[b] = in
	}
}

// flow runs a block and returns the state on each edge to a successor.
func (a *analysis) flow(b int) map[int]*State {
	out := map[int]*State{}
	if !a.in[b].Reachable {
		return out
	}
	blk := &a.g.Blocks[b]
	s := a.in[b].clone()
	for k := blk.From; k < blk.To-1; k++ {
		a.step(s, k)
	}
	last := blk.To - 1
	in := &a.f.Insns[last]
	if in.Row().Kind != isa.KindCondJump {
		a.step(s, last)
		for _, t := range blk.Succs {
			out[t] = s
		}
		return out
	}
	put := func(at int, st *State) {
		t := a.g.BlockOf[at]
		if old := out[t]; old != nil {
			st = old.join(st, false)
		}
		out[t] = st
	}
	put(in.Target, s.branch(in, true))
	if last+1 < len(a.f.Insns) {
		put(last+1, s.branch(in, false))
	}
	return out
}

// visit calls f with each instruction that is reached and the state before it,
// which does not outlive the call.
func (a *analysis) visit(f func(in *prog.Insn, s *State)) {
	for _, b := range a.g.Order {
		s := a.in[b].clone()
		for k := a.g.Blocks[b].From; k < a.g.Blocks[b].To && s.Reachable; k++ {
			f(&a.f.Insns[k], s)
			a.step(s, k)
		}
	}
}

// At returns what is known before instruction k. The state must not be
// changed. Not for use by several goroutines at once.
func (r *Result) At(k int) *State {
	b := r.a.g.BlockOf[k]
	blk := &r.a.g.Blocks[b]
	if r.memo[b] == nil {
		s := r.a.in[b]
		states := make([]*State, 0, blk.To-blk.From)
		for i := blk.From; i < blk.To; i++ {
			states = append(states, s)
			if s.Reachable && i+1 < blk.To {
				s = s.clone()
				r.a.step(s, i)
			}
		}
		r.memo[b] = states
	}
	return r.memo[b][k-blk.From]
}

// Taken decides the conditional jump k: whether it is ever taken, and ever not
// taken.
func (r *Result) Taken(k int) (taken, not bool) {
	s := r.At(k)
	in := &r.a.f.Insns[k]
	if !s.Reachable || in.Row().Kind != isa.KindCondJump {
		return false, false
	}
	return s.branch(in, true).Reachable, s.branch(in, false).Reachable
}

// Access is a memory access: Base.Num plus Off is the offset in its region.
type Access struct {
	Base Value
	// Lo and Hi bound the first byte's offset in the region, inclusive.
	Lo, Hi int64
	Size   int // bytes
	Write  bool
}

// AccessAt describes the memory access of instruction k; false if it has none
// or is unreachable.
func (r *Result) AccessAt(k int) (Access, bool) {
	s := r.At(k)
	in := &r.a.f.Insns[k]
	row := in.Row()
	if !s.Reachable {
		return Access{}, false
	}
	acc := Access{Size: int(row.Width) / 8}
	switch row.Kind {
	case isa.KindLoad:
		acc.Base = s.Regs[in.Src]
	case isa.KindStore:
		acc.Base, acc.Write = s.Regs[in.Dst], true
	case isa.KindAtomic:
		acc.Base, acc.Write = s.Regs[in.Dst], row.Fn != isa.FnLoadAcq
		if !acc.Write {
			acc.Base = s.Regs[in.Src]
		}
	default:
		return Access{}, false
	}
	n := acc.Base.Num
	acc.Lo, acc.Hi = fullRange(64).SMin, fullRange(64).SMax
	if !in.Frozen() && !addOverflows(n.SMin, int64(in.Off), 64) && !addOverflows(n.SMax, int64(in.Off), 64) {
		acc.Lo, acc.Hi = n.SMin+int64(in.Off), n.SMax+int64(in.Off)
	}
	return acc, true
}
