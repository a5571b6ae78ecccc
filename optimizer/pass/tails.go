package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxTail bounds the instructions at an end of code that are compared with those
// at another.
const maxTail = 24

// ending describes where a straight run of code leads: to an exit, or to the
// start of another block.
type ending struct {
	last int // the last instruction that is shared code
	to   int // the instruction it leads to, -1 for an exit
	jump int // the jump at its end, -1 if control falls through
	code []int
	sink []int // those of code that nothing after them depends on
}

// mergeTails lets one of two ends of code jump into the other, from where on they
// do the same. What both do may be moved to the end first.
func mergeTails(r *run) {
	order, groups := r.endings()
	used := map[int]bool{}
	for _, to := range order {
		es := groups[to]
		for i := range es {
			if r.over() {
				return
			}
			for j := range es {
				a, b := es[i], es[j] // b will jump into a
				if i == j || used[a.last] || used[b.last] || b.jump < 0 && b.to >= 0 || !r.mayShare(a, b) {
					continue
				}
				restA, restB, common := r.commonTail(a.code, b.code)
				n := len(common)
				gain := n
				if b.to < 0 {
					gain = n - 1 // the jump replaces the exit
				}
				if gain < 1 || !r.ok(b.last, "the same %d instructions are at %d", n, a.last-n+1) {
					continue
				}
				used[a.last], used[b.last] = true, true
				for k, p := range append(restA, common...) {
					r.g.Insns[a.code[k]] = r.f.Insns[p]
				}
				for k, p := range restB {
					r.g.Insns[b.code[k]] = r.f.Insns[p]
				}
				for _, k := range b.code[len(restB):] {
					r.nop(k)
				}
				end := b.last
				if b.jump >= 0 {
					end = b.jump
				}
				r.set(end, isa.Insn{Op: isa.Ja})
				r.g.Insns[end].Target = a.last - n + 1
			}
		}
	}
}

// endings lists where straight code leads to, and for each what leads there.
func (r *run) endings() (order []int, groups map[int][]ending) {
	groups = map[int][]ending{}
	for _, b := range r.cfg.Order {
		e, ok := r.endOf(b)
		if !ok {
			continue
		}
		if groups[e.to] == nil {
			order = append(order, e.to)
		}
		groups[e.to] = append(groups[e.to], e)
	}
	return order, groups
}

// endOf describes the end of a block, if control goes on one way from there.
func (r *run) endOf(block int) (ending, bool) {
	f, blk := r.f, r.cfg.Blocks[block]
	last := blk.To - 1
	e := ending{last: last, to: -1, jump: -1}
	switch k := f.Insns[last].Row().Kind; {
	case k == isa.KindExit:
	case k == isa.KindJump:
		e = ending{last: last - 1, to: f.Insns[last].Target, jump: last}
	case f.Insns[last].Target < 0:
		e.to = blk.To
	default:
		return e, false
	}
	e.code = span(max(blk.From, e.last+1-maxTail), e.last+1)
	for i := range e.code {
		if r.last(e.code, i) {
			e.sink = append(e.sink, e.code[i])
		}
	}
	return e, len(e.code) > 0
}

// mayShare: two ends have an instruction in common that can be their last.
func (r *run) mayShare(a, b ending) bool {
	return slices.ContainsFunc(a.sink, func(x int) bool {
		return slices.ContainsFunc(b.sink, func(y int) bool { return r.alike(x, y) })
	})
}

// alike: two instructions of f do the same.
func (r *run) alike(a, b int) bool {
	x, y := &r.f.Insns[a], &r.f.Insns[b]
	return (x.Insn == y.Insn || sameConstant(x, y)) && prog.SameRef(x.Ref, y.Ref) && x.Target == y.Target
}

// sameConstant: two instructions set one register to the same constant, if in
// different widths.
func sameConstant(x, y *prog.Insn) bool {
	v, ok := moveOfConstant(x)
	u, ok2 := moveOfConstant(y)
	return ok && ok2 && v == u && x.Dst == y.Dst
}

// commonTail takes from the ends of two rows of instructions what they have in
// common, in the order in which it can follow what is left of either.
func (r *run) commonTail(a, b []int) (restA, restB, common []int) {
	restA, restB = slices.Clone(a), slices.Clone(b)
next:
	for i := len(restA) - 1; i >= 0; i-- {
		if !r.last(restA, i) {
			continue
		}
		for j := len(restB) - 1; j >= 0; j-- {
			if restA[i] != restB[j] && r.alike(restA[i], restB[j]) && r.f.Insns[restA[i]].Target < 0 && r.last(restB, j) {
				common = append(common, restA[i])
				restA, restB = slices.Delete(restA, i, i+1), slices.Delete(restB, j, j+1)
				goto next
			}
		}
	}
	slices.Reverse(common)
	return restA, restB, common
}

// last: the i-th of a row of instructions can be the last of them.
func (r *run) last(row []int, i int) bool {
	x := r.moved(row[i])
	for _, k := range row[i+1:] {
		if r.f.Insns[k].EndsBlock() || !apart(x, r.moved(k)) {
			return false
		}
	}
	return true
}

// swaps: as far as memory and effects go, two instructions can change places.
func swaps(a, b *prog.Insn) bool {
	x, y := a.Row().Kind, b.Row().Kind
	quiet := func(k isa.Kind) bool {
		return k == isa.KindALU || k == isa.KindLoadImm || k == isa.KindNop || k == isa.KindAddrCast
	}
	inFrame := func(k isa.Kind, in *prog.Insn) bool {
		return k == isa.KindStore && in.Dst == isa.FP || k == isa.KindLoad && in.Src == isa.FP
	}
	switch {
	case quiet(x) || quiet(y), x == isa.KindLoad && y == isa.KindLoad:
		return true
	case inFrame(x, a) && inFrame(y, b) && !a.Frozen() && !b.Frozen():
		return !overlap(a, b)
	}
	return false
}
