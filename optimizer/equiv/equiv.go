package equiv

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// Verdict is the answer of a proof. The zero value is "don't know".
type Verdict uint8

// The verdicts. Only Equal lets code be replaced.
const (
	Unknown Verdict = iota
	Equal
	Different
	Unsupported
)

func (v Verdict) String() string {
	return [...]string{"Unknown", "Equal", "Different", "Unsupported"}[v]
}

// Stats counts what a proof took.
type Stats struct {
	Cuts, Regions, Paths int
	// Obligations settled by identical terms, and by a solver.
	Identical, Solved int
	// Solver calls and how they ended.
	SolverCalls, SolverUnknown int
}

// Result is a proof's outcome.
type Result struct {
	Verdict     Verdict
	Reason      string
	Assumptions []string
	Stats       Stats
}

// Options of a Validator.
type Options struct {
	// Solver is a backend name for smt.Open; "none" leaves everything that
	// identical terms do not settle undecided.
	Solver string
	Limits smt.Limits
	// MaxPaths bounds the paths of one region of one function; zero: 400.
	MaxPaths int
	// Raw switches the normal forms off: slower, and independent of them.
	Raw bool
	// Callee finds the functions that calls go to.
	Callee func(name string) *prog.Func
}

// Validator proves replacements. It is not safe for concurrent use.
type Validator struct {
	opt Options
	// One term context and solver serve proofs until the context has grown.
	c      *smt.Ctx
	solver smt.Solver

	cache      map[verdictKey]Result
	cacheStats CacheStats
}

// New makes a validator.
func New(o Options) (*Validator, error) {
	if o.MaxPaths == 0 {
		o.MaxPaths = 400
	}
	v := &Validator{opt: o}
	return v, v.reset()
}

const maxTerms = 400_000

func (v *Validator) reset() error {
	v.Close()
	v.c = smt.NewCtx(smt.Options{Raw: v.opt.Raw})
	if v.opt.Solver == "none" {
		return nil
	}
	s, err := smt.Open(v.c, v.opt.Solver)
	v.solver = s
	return err
}

// Close frees the solver.
func (v *Validator) Close() {
	if v.solver != nil {
		v.solver.Close()
		v.solver = nil
	}
}

// SolverName says which backend is in use.
func (v *Validator) SolverName() string {
	if v.solver == nil {
		return "none"
	}
	return v.solver.Name()
}

// errGiveUp carries the reason of an Unknown verdict.
type errGiveUp struct{ reason string }

func (e errGiveUp) Error() string { return e.reason }

func giveUp(format string, args ...any) error {
	const longest = 400 // terms can fill pages
	s := fmt.Sprintf(format, args...)
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	return errGiveUp{s}
}

// prove is Func without the cache.
func (v *Validator) prove(ctx context.Context, p, q *prog.Func) Result {
	for _, f := range []*prog.Func{p, q} {
		if err := prog.Check(f); err != nil {
			return Result{Verdict: Unsupported, Reason: err.Error()}
		}
	}
	if prog.SameCode(p, q) {
		return Result{Verdict: Equal, Reason: "identical code"}
	}
	if err := keepsPatched(p, q); err != nil {
		return Result{Reason: err.Error()}
	}
	if v.c.Len() > maxTerms {
		if err := v.reset(); err != nil {
			return Result{Reason: err.Error()}
		}
	}
	var last Result
	for _, how := range []pairing{byOrigin, awayFromEdits, everyJoin} {
		s := newSim(ctx, v, p, q, how)
		if s == nil {
			continue
		}
		err := s.run()
		last = Result{Stats: s.stats}
		switch {
		case err == nil:
			last.Verdict = Equal
			last.Assumptions = s.e.Assumptions()
			last.Reason = fmt.Sprintf("%d cuts, %d paths, %d obligations by identical terms, %d by %s",
				s.stats.Cuts, s.stats.Paths, s.stats.Identical, s.stats.Solved, v.SolverName())
			return last
		case errors.Is(err, symex.ErrUnsupported):
			last.Verdict, last.Reason = Unsupported, err.Error()
			return last
		}
		last.Reason = err.Error()
		if ctx.Err() != nil {
			return last
		}
	}
	if d := tell(p, q); d != "" {
		last.Verdict, last.Reason = Different, d
	}
	return last
}

// keepsPatched requires that instructions which the loader completes are those
// of p, registers aside: it knows how to patch these and no others.
func keepsPatched(p, q *prog.Func) error {
	for k := range q.Insns {
		in := &q.Insns[k]
		if !in.Frozen() {
			continue
		}
		found := false
		for j := range p.Insns {
			o := &p.Insns[j]
			found = found || o.Ref != nil && prog.SameRef(o.Ref, in.Ref) && o.Op == in.Op && o.Off == in.Off && o.Imm == in.Imm
		}
		if !found {
			return giveUp("instruction %d is completed by the loader and was changed", k)
		}
	}
	return nil
}

// ResultWidth is how many bits of R0 the kernel looks at when f returns:
// bpf_prog_run gives 32; trampolines pass on all 64.
func ResultWidth(f *prog.Func) uint8 {
	if !f.Entry {
		return 64
	}
	switch f.Type {
	case prog.TypeSocketFilter, prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeXDP, prog.TypeTracepoint, prog.TypeRawTracepoint,
		prog.TypeCgroupSKB, prog.TypeCgroupSock, prog.TypeCgroupSockAddr, prog.TypeLWTIn, prog.TypeLWTOut, prog.TypeLWTXmit,
		prog.TypeKprobe, prog.TypePerfEvent, prog.TypeSockOps, prog.TypeSKSKB, prog.TypeSKMsg, prog.TypeSKReuseport,
		prog.TypeFlowDissector, prog.TypeSKLookup, prog.TypeNetfilter, prog.TypeCgroupDevice, prog.TypeCgroupSysctl, prog.TypeCgroupSockopt:
		return 32
	}
	return 64
}

// simulation is one attempt at a proof.
type sim struct {
	ctx    context.Context
	v      *Validator
	c      *smt.Ctx
	e      *symex.Engine
	p, q   *side
	pair   func(bp, bq int) bool // whether two joins may be paired
	cuts   map[[2]int]*cut
	order  []*cut
	queue  []*cut
	slots  []slot
	stats  Stats
	proved map[[2]smt.Term]bool

	pTokens []smt.Term // call tokens that P made in the region at hand
	facts   []smt.Term
}

// side is one of the two functions.
type side struct {
	f    *prog.Func
	g    *prog.CFG
	live *prog.Liveness
	stop []bool // blocks at whose start a path ends
}

func newSide(f *prog.Func) *side {
	g := prog.NewCFG(f)
	return &side{f: f, g: g, live: prog.NewLiveness(g), stop: make([]bool, len(g.Blocks))}
}

func (s *side) joins() []int {
	var out []int
	heads := s.g.LoopHeads()
	for _, b := range s.g.Order {
		n := 0
		for _, p := range s.g.Blocks[b].Preds {
			if s.g.Pos[p] >= 0 {
				n++
			}
		}
		if n > 1 || heads[b] {
			out = append(out, b)
		}
	}
	return out
}

// pairing is how the joins of two functions are paired.
type pairing uint8

const (
	// byOrigin pairs the joins of a rewritten function by their instructions.
	byOrigin pairing = iota
	// awayFromEdits is byOrigin but for joins that code was changed right
	// before: what holds there may not show in single registers.
	awayFromEdits
	// everyJoin stops at all joins: for functions from elsewhere.
	everyJoin
)

// newSim prepares a proof attempt; nil if it would be the same as byOrigin.
func newSim(ctx context.Context, v *Validator, p, q *prog.Func, how pairing) *sim {
	s := &sim{ctx: ctx, v: v, c: v.c, p: newSide(p), q: newSide(q), cuts: map[[2]int]*cut{}, proved: map[[2]smt.Term]bool{}}
	s.e = symex.NewEngine(v.c, p.Type, p.Entry)
	s.e.Callee = v.opt.Callee
	s.slots = stackSlots(p, q)
	pj, qj := s.p.joins(), s.q.joins()
	if how == everyJoin {
		for _, b := range pj {
			s.p.stop[b] = true
		}
		for _, b := range qj {
			s.q.stop[b] = true
		}
		s.pair = func(int, int) bool { return true }
		return s
	}
	partner := pairJoins(s.p, s.q, pj, qj)
	if how == awayFromEdits {
		all := len(partner)
		for k := range partner {
			if edited(s.p, s.q, k[0], k[1]) {
				delete(partner, k)
			}
		}
		if len(partner) == all {
			return nil
		}
	}
	for k := range partner {
		s.p.stop[k[0]], s.q.stop[k[1]] = true, true
	}
	// A loop without a partner would run for ever: stop there, and fail if the
	// other side is elsewhere.
	for _, x := range []*side{s.p, s.q} {
		for b, head := range x.g.LoopHeads() {
			x.stop[b] = x.stop[b] || head
		}
	}
	s.pair = func(bp, bq int) bool { return true }
	return s
}

// pairJoins matches joins by the origins of the instructions around them: a
// join of Q goes with the join of P that holds the first instruction of the
// same origin, unless Q has what comes before that in P's block elsewhere: the
// two joins are different points then.
func pairJoins(p, q *side, pj, qj []int) map[[2]int]bool {
	pAt, qAt := firstOfOrigin(p.f), firstOfOrigin(q.f)
	moved := func(bp, upTo, bq int) bool {
		for k := p.g.Blocks[bp].From; k < upTo; k++ {
			if j, ok := qAt[p.f.Insns[k].Origin]; ok && q.g.BlockOf[j] != bq {
				return true
			}
		}
		return false
	}
	isJoin := map[int]bool{}
	for _, b := range pj {
		isJoin[b] = true
	}
	out := map[[2]int]bool{}
	for _, b := range qj {
		for k := q.g.Blocks[b].From; k < q.g.Blocks[b].To; k++ {
			o := q.f.Insns[k].Origin
			if o < 0 {
				continue
			}
			kp, ok := pAt[o]
			if !ok {
				break
			}
			if bp := p.g.BlockOf[kp]; isJoin[bp] && !p.leaves(bp) && !q.leaves(b) && !moved(bp, kp, b) {
				out[[2]int{bp, b}] = true
			}
			break
		}
	}
	return out
}

// edited tells whether the instructions right before two joins differ.
func edited(p, q *side, bp, bq int) bool {
	ends := func(s *side, b int) map[prog.Insn]int {
		out := map[prog.Insn]int{}
		for _, pred := range s.g.Blocks[b].Preds {
			blk := s.g.Blocks[pred]
			for k := max(blk.From, blk.To-2); k < blk.To; k++ {
				in := s.f.Insns[k]
				in.Target = 0
				out[in]++
			}
		}
		return out
	}
	return !maps.Equal(ends(p, bp), ends(q, bq))
}

// firstOfOrigin gives the first instruction of each origin.
func firstOfOrigin(f *prog.Func) map[int]int {
	at := map[int]int{}
	for k := range f.Insns {
		if o := f.Insns[k].Origin; o >= 0 {
			if _, dup := at[o]; !dup {
				at[o] = k
			}
		}
	}
	return at
}

// leaves reports whether block b does nothing but set registers and exit. To
// stop there gains nothing, and the other function may exit earlier.
func (s *side) leaves(b int) bool {
	blk := s.g.Blocks[b]
	if s.f.Insns[blk.To-1].Row().Kind != isa.KindExit || blk.To-blk.From > 4 {
		return false
	}
	for k := blk.From; k < blk.To-1; k++ {
		if s.f.Insns[k].Row().Kind != isa.KindALU {
			return false
		}
	}
	return true
}

// slot is a stack location that the proof follows as one value.
type slot struct{ at, n int }

// stackSlots divides the frame by how the two functions access it directly:
// runs of bytes that are only accessed together are one slot.
func stackSlots(fs ...*prog.Func) []slot {
	var together [isa.StackSize + 1]bool // byte i belongs to the same access as i-1
	var cut [isa.StackSize + 1]bool
	for _, f := range fs {
		for k := range f.Insns {
			in := &f.Insns[k]
			row := in.Row()
			base := in.Dst
			switch row.Kind {
			case isa.KindLoad:
				base = in.Src
			case isa.KindStore, isa.KindAtomic:
			default:
				continue
			}
			n := int(row.Width / 8)
			at := int(in.Off) + isa.StackSize
			if base != isa.FP || at < 0 || at+n > isa.StackSize {
				continue
			}
			for i := 1; i < n; i++ {
				together[at+i] = true
			}
			cut[at], cut[at+n] = true, true
		}
	}
	var out []slot
	for i := 0; i < isa.StackSize; {
		j := i + 1
		for j < isa.StackSize && j-i < 8 && together[j] && !cut[j] {
			j++
		}
		out = append(out, slot{i, j - i})
		i = j
	}
	return out
}
