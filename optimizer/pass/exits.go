package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// exitEdge is a way into the moves before an exit on which R0 ends as a
// constant.
type exitEdge struct {
	last  int // the instruction that it leaves from
	falls bool
	value isa.Insn // r0 = constant
}

// exits sets a constant result where the function returns instead of carrying
// it there in a register: each constant gets a `r0 = K; exit` of its own, and
// what computed it along the way has no use.
func exits(r *run) {
	for x := len(r.f.Insns) - 1; x >= 0; x-- {
		if r.f.Insns[x].Row().Kind != isa.KindExit || !r.cfg.Reachable(x) {
			continue
		}
		start := r.cfg.Blocks[r.cfg.BlockOf[x]].From
		if !r.onlyMoves(start, x) {
			continue
		}
		if r.alreadySet(start, x) || r.constantExit(start, x) {
			return // positions changed: one a run
		}
		r.splitExit(start, x)
	}
}

// onlyMoves: [start,x) only copies registers; a constant R0 is what this pass
// makes, and stays.
func (r *run) onlyMoves(start, x int) bool {
	if x-start > 3 {
		return false
	}
	for k := start; k < x; k++ {
		row := r.f.Insns[k].Row()
		if row.Kind != isa.KindALU || row.Fn != isa.FnMov || row.Imm && r.f.Insns[k].Dst == isa.R0 {
			return false
		}
	}
	return true
}

// alreadySet lets jumps go to the exit itself, past the moves before it, where R0
// holds what these would give it: a call found nothing, and nothing is returned.
func (r *run) alreadySet(start, x int) bool {
	var jumps []int
	for _, p := range r.cfg.Blocks[r.cfg.BlockOf[start]].Preds {
		last := r.cfg.Blocks[p].To - 1
		in := &r.f.Insns[last]
		row := in.Row()
		if start == x || in.Target != start || row.Kind != isa.KindCondJump || row.Fn != isa.FnJeq || !row.Imm || row.Width != 64 || in.Dst != isa.R0 || !r.cfg.Reachable(last) {
			continue
		}
		if v, ok := r.resultAlong(last, start, x); ok && v.Imm == in.Imm && isa.RowOf(v.Op).Width == 64 {
			jumps = append(jumps, last)
		}
	}
	if len(jumps) == 0 || !r.ok(start, "the result is there already, for %d ways to the end", len(jumps)) {
		return false
	}
	for _, k := range jumps {
		r.g.Insns[k].Target = x
	}
	return true
}

// constantExit leaves the exit to the ways that all return one constant, and
// gives the only other one, which jumps there, an end of its own.
func (r *run) constantExit(start, x int) bool {
	var value isa.Insn
	other, constant := -1, 0
	for _, p := range r.cfg.Blocks[r.cfg.BlockOf[start]].Preds {
		last := r.cfg.Blocks[p].To - 1
		if !r.cfg.Reachable(last) {
			continue
		}
		v, ok := r.resultAlong(last, start, x)
		switch {
		case !ok && other < 0 && r.f.Insns[last].Row().Kind == isa.KindJump:
			other = last
		case !ok || constant > 0 && v != value:
			return false
		default:
			value = v
			constant++
		}
	}
	if other < 0 || constant == 0 || start == x || !r.ok(start, "%s where the function returns, but for one way", isa.Format(value, "")) {
		return false
	}
	r.set(start, value)
	for k := start + 1; k < x; k++ {
		r.nop(k)
	}
	if err := r.g.Splice(other, other+1, slices.Clone(r.f.Insns[start:x+1])); err != nil {
		panic("pass: nothing was replaced: " + err.Error())
	}
	return true
}

func (r *run) splitExit(start, x int) {
	var edges []exitEdge
	var values []isa.Insn
	others := 0
	for _, p := range r.cfg.Blocks[r.cfg.BlockOf[start]].Preds {
		last := r.cfg.Blocks[p].To - 1
		if !r.cfg.Reachable(last) {
			continue
		}
		in := &r.f.Insns[last]
		value, ok := r.resultAlong(last, start, x)
		if !ok || in.Row().Kind == isa.KindMayGoto {
			others++
			continue
		}
		edges = append(edges, exitEdge{last, in.Target != start, value})
		if !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	if len(edges) == 0 || others == 0 && len(values) == 1 && x == start && len(edges) == 1 {
		return
	}
	var fall *exitEdge
	for i := range edges {
		if edges[i].falls {
			fall = &edges[i]
		}
	}
	// Instruction numbers of g below start are those of f: exits are handled
	// from the last to the first.
	moved := map[int]bool{}
	for _, v := range values {
		if fall != nil && fall.value == v {
			continue
		}
		n := 0
		for _, e := range edges {
			if e.value == v {
				n++
			}
		}
		if !r.ok(start, "%s where the function returns, for %d ways to its end", isa.Format(v, ""), n) {
			continue
		}
		at := len(r.g.Insns)
		r.g.Insns = append(r.g.Insns, r.at(start, v), r.at(x, isa.Insn{Op: isa.Exit}))
		for _, e := range edges {
			if e.value == v {
				r.retarget(e.last, start, at)
				moved[e.last] = true
			}
		}
	}
	if fall == nil || !r.ok(start, "%s where the function returns, where it falls into its end", isa.Format(fall.value, "")) {
		return
	}
	stay := map[int]bool{} // jumps that mean the old end, by number in f
	for _, p := range r.cfg.Blocks[r.cfg.BlockOf[start]].Preds {
		last := r.cfg.Blocks[p].To - 1
		stay[last] = !moved[last] && !slices.ContainsFunc(edges, func(e exitEdge) bool { return e.last == last && e.value == fall.value })
	}
	// The other ways need no more than the exit itself, which can follow.
	repl := []prog.Insn{r.at(start, fall.value)}
	if start < x {
		repl = append(repl, r.at(x, isa.Insn{Op: isa.Exit}))
	}
	if err := r.g.Splice(start, start, repl); err != nil {
		panic("pass: nothing was replaced: " + err.Error())
	}
	for last := range stay {
		k := last
		if k >= start {
			k += len(repl)
		}
		if stay[last] && r.g.Insns[k].Target == start {
			r.g.Insns[k].Target = start + len(repl)
		}
	}
}

// at makes an instruction that stands for instruction k of f.
func (r *run) at(k int, in isa.Insn) prog.Insn {
	n := prog.New(in)
	n.Origin = r.f.Insns[k].Origin
	return n
}

// retarget lets jump k of f, still in its place in g, go to another place.
func (r *run) retarget(k, from, to int) {
	if r.g.Insns[k].Target == from {
		r.g.Insns[k].Target = to
	}
}

// resultAlong gives the move that sets R0 to what it is at exit x for control
// that comes from instruction last to start, if that is a constant.
func (r *run) resultAlong(last, start, x int) (isa.Insn, bool) {
	if r.vals.Before[last] == nil {
		return isa.Insn{}, false
	}
	st := r.vals.Before[last].Clone()
	for _, k := range append([]int{last}, span(start, x)...) {
		if r.f.Insns[k].IsJump() {
			continue
		}
		if _, err := r.vals.E.Step(st, &r.f.Insns[k]); err != nil {
			return isa.Insn{}, false
		}
	}
	if st.Regs[isa.R0] == 0 {
		return isa.Insn{}, false
	}
	v, ok := r.vals.C.IsConst(st.Regs[isa.R0])
	if !ok {
		return isa.Insn{}, false
	}
	return r.movConst(isa.R0, v)
}

func span(from, to int) []int {
	var out []int
	for k := from; k < to; k++ {
		out = append(out, k)
	}
	return out
}
