package equiv

import (
	"context"
	"maps"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// side is one of the two functions.
type side struct {
	f    *prog.Func
	g    *prog.CFG
	live *prog.Liveness
	stop []bool // instructions before which a path ends
	// code is f's instructions, and behind them the bodies that are entered.
	code   []prog.Insn
	bodies []body
}

func newSide(f *prog.Func) *side {
	g := prog.NewCFG(f)
	return &side{f: f, g: g, live: prog.NewLiveness(g), stop: make([]bool, len(f.Insns)), code: f.Insns}
}

// step executes instruction k of the side's code.
func (s *sim) step(x *side, k int, st *symex.State) (smt.Term, error) {
	s.e.Unused = x.unused(k)
	s.e.Inside(x.inside(k))
	cond, err := s.e.Step(st, &x.code[k])
	s.e.Unused = false
	s.e.Inside(false)
	return cond, err
}

// stopAt makes paths end at the start of block b.
func (s *side) stopAt(b int) { s.stop[s.g.Blocks[b].From] = true }

// pos orders instructions: those that control comes to first are first.
func (s *side) pos(at int) int { return s.g.Pos[s.g.BlockOf[at]]<<32 | at }

func (s *side) joins() []int {
	var out []int
	heads := s.g.LoopHeads()
	for _, b := range s.g.Order {
		n := 0
		for _, p := range s.g.Blocks[b].Preds {
			if s.g.Pos[p] < 0 {
				continue
			}
			last := &s.f.Insns[s.g.Blocks[p].To-1]
			if n++; last.Target == s.g.Blocks[p].To && !last.EndsBlock() {
				n++ // both ways of a jump to the next instruction
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
	v.sims++
	s := &sim{ctx: ctx, v: v, c: v.c, p: newSide(p), cuts: map[[2]int]*cut{}, proved: map[[2]smt.Term]bool{}}
	s.q = s.p
	if p != q {
		s.q = newSide(q)
	}
	s.queue.s = s
	s.e = symex.NewEngine(v.c, p, v.opt.Callee)
	s.e.PreserveShared = v.opt.PreserveShared
	s.e.Coarse = symex.Coarse{Offsets: v.opt.NoOffsets, Maps: v.opt.NoMaps, Types: v.opt.NoTypes}
	s.slots = stackSlots(p, q)
	if p != q {
		s.enterBodies(v.entered(p, q))
	}
	pj, qj := s.p.joins(), s.q.joins()
	if how == everyJoin {
		for _, b := range pj {
			s.p.stopAt(b)
		}
		for _, b := range qj {
			s.q.stopAt(b)
		}
		if s.alone() {
			s.nameStops()
		}
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
	if v.opt.NoCuts {
		heads := s.p.g.LoopHeads()
		maps.DeleteFunc(partner, func(k [2]int, _ bool) bool { return !heads[k[0]] })
	}
	for k := range partner {
		s.p.stopAt(k[0])
		s.q.stopAt(k[1])
	}
	// A loop without a partner would run for ever: stop there, and fail if the
	// other side is elsewhere.
	for _, x := range []*side{s.p, s.q} {
		for b, head := range x.g.LoopHeads() {
			if head {
				x.stopAt(b)
			}
		}
	}
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
	var touched [isa.StackSize + 1]bool
	for i := range isa.StackSize {
		touched[i] = together[i] || cut[i]
	}
	var out []slot
	for i := 0; i < isa.StackSize; {
		j := i + 1
		for j < isa.StackSize && j-i < 8 && together[j] && !cut[j] {
			j++
		}
		for !touched[i] && j%8 != 0 && !touched[j] {
			j++ // only calls see these
		}
		out = append(out, slot{i, j - i})
		i = j
	}
	return out
}
