package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// Bounds on what is joined: instructions in an arm, and between two branches.
const (
	maxArm     = 8
	maxBetween = 8
)

// hammock is a branch around a few instructions, its arm, which nothing else goes
// to. end is where the two ways meet.
type hammock struct {
	jump, end int
	arm       []moved
}

// moved is an instruction that may change its place. away: it does not access the
// frame.
type moved struct {
	prog.Insn
	away bool
}

// hammocks joins two branches on the same condition, as compilers make them of a
// row of selections: the second's arm follows the first's, and what lies between
// them goes before or behind both. An arm that belongs to the other way changes
// places with the default that it replaces.
func hammocks(r *run) {
	for k := range r.f.Insns {
		h, ok := r.hammock(k)
		if !ok {
			continue
		}
		for j := h.end; j < min(len(r.f.Insns), h.end+maxBetween); j++ {
			if g, ok := r.hammock(j); ok {
				if r.joinHammocks(h, g) {
					return // positions changed: one a run
				}
				break
			}
			if !r.maybeMoved(j) || j > h.end && !r.lonely(j) {
				break
			}
		}
	}
}

// hammock tells whether a branch that goes around its arm is at k.
func (r *run) hammock(k int) (hammock, bool) {
	in := &r.f.Insns[k]
	if in.Row().Kind != isa.KindCondJump || in.Frozen() || in.Target <= k+1 || in.Target > k+1+maxArm || !r.cfg.Reachable(k) {
		return hammock{}, false
	}
	h := hammock{jump: k, end: in.Target}
	for p := k + 1; p < h.end; p++ {
		x := &r.f.Insns[p]
		row := x.Row()
		if row.Kind != isa.KindALU && (row.Kind != isa.KindStore || x.Dst != isa.FP) || x.Frozen() || !r.lonely(p) {
			return hammock{}, false
		}
		h.arm = append(h.arm, r.moved(p))
	}
	return h, len(r.cfg.Blocks[r.cfg.BlockOf[h.end]].Preds) == 2
}

// maybeMoved: instruction k could be moved over others.
func (r *run) maybeMoved(k int) bool {
	switch r.f.Insns[k].Row().Kind {
	case isa.KindALU, isa.KindLoadImm, isa.KindLoad, isa.KindStore:
		return true
	}
	return false
}

func (r *run) moved(k int) moved {
	in := &r.f.Insns[k]
	m := moved{Insn: *in}
	base := in.Src
	if in.Row().Kind == isa.KindStore {
		base = in.Dst
	}
	if a, ok := r.address(k, base); ok && !in.Frozen() {
		switch r.vals.E.RegionOf(a).Kind {
		case symex.Context, symex.Packet, symex.MapValue, symex.Record:
			m.away = true
		}
	}
	return m
}

// apart: two instructions may change places.
func apart(a, b moved) bool {
	if a.Def()&(b.Use()|b.Def()) != 0 || b.Def()&a.Use() != 0 {
		return false
	}
	inFrame := func(m moved) bool { return m.Row().Kind == isa.KindStore && m.Dst == isa.FP && !m.Frozen() }
	return swaps(&a.Insn, &b.Insn) || a.away && inFrame(b) || b.away && inFrame(a)
}

func (a moved) apartFrom(list []moved) bool {
	return !slices.ContainsFunc(list, func(b moved) bool { return !apart(a, b) })
}

// opposite relates two branches that compare the same operands: whether the second
// goes the other way. Where they differ for equal operands, the proof has to find
// that it does not matter.
func opposite(a, b *prog.Insn) (other, ok bool) {
	x, y := a.Row(), b.Row()
	if a.Dst != b.Dst || a.Src != b.Src || a.Imm != b.Imm || x.Imm != y.Imm || x.Width != y.Width {
		return false, false
	}
	side := func(fn isa.Fn) int {
		switch fn {
		case isa.FnJgt, isa.FnJge:
			return 1
		case isa.FnJlt, isa.FnJle:
			return -1
		case isa.FnJsgt, isa.FnJsge:
			return 2
		case isa.FnJslt, isa.FnJsle:
			return -2
		}
		return 0
	}
	switch s, t := side(x.Fn), side(y.Fn); {
	case x.Fn == y.Fn:
		return false, true
	case inverse[x.Fn] == y.Fn:
		return true, true
	case s != 0 && s == t:
		return false, true
	case s != 0 && s == -t:
		return true, true
	}
	return false, false
}

// joinHammocks moves the arm of g, which follows h, into that of h.
func (r *run) joinHammocks(h, g hammock) bool {
	other, ok := opposite(&r.f.Insns[h.jump], &r.f.Insns[g.jump])
	if !ok {
		return false
	}
	var between []moved
	for k := h.end; k < g.jump; k++ {
		between = append(between, r.moved(k))
	}
	cond := r.f.Insns[h.jump].Use()
	for _, m := range slices.Concat(h.arm, between) {
		if m.Def()&cond != 0 {
			return false
		}
	}
	arm, end := g.arm, g.end
	if other {
		if between, arm, end, ok = r.turned(between, g); !ok {
			return false
		}
	}
	var before, after []moved
	for _, m := range slices.Backward(between) {
		switch {
		case m.apartFrom(arm) && m.apartFrom(before):
			after = append(after, m)
		case m.Def()&cond == 0 && m.apartFrom(h.arm):
			before = append(before, m)
		default:
			return false
		}
	}
	slices.Reverse(before)
	slices.Reverse(after)
	code := []prog.Insn{}
	for _, m := range before {
		code = append(code, m.Insn)
	}
	jump := r.f.Insns[h.jump]
	jump.Target = end
	if len(after) > 0 {
		jump.Target = -2 - (len(before) + 1 + len(h.arm) + len(arm))
	}
	code = append(code, jump)
	for _, m := range slices.Concat(h.arm, arm, after) {
		code = append(code, m.Insn)
	}
	if !r.ok(g.jump, "joins the branch before on the same condition: %s", text(&r.f.Insns[g.jump])) {
		return false
	}
	if err := r.g.Splice(h.jump, end, code); err != nil {
		r.changes = r.changes[:len(r.changes)-1]
		return false
	}
	return true
}

// turned lets the arm of g belong to the other way of its branch: the one
// instruction in it changes places with the one between the branches that it
// replaces. Where it sets a register that is only stored at the end, the store does
// so in its place.
func (r *run) turned(between []moved, g hammock) (with, arm []moved, end int, ok bool) {
	if len(g.arm) != 1 {
		return nil, nil, 0, false
	}
	x := g.arm[0]
	for d := len(between) - 1; d >= 0; d-- {
		m := between[d]
		if sameTarget(&m.Insn, &x.Insn) {
			rest := between[d+1:]
			if !m.apartFrom(rest) || !x.apartFrom(rest) {
				return nil, nil, 0, false
			}
			with = slices.Clone(between)
			with[d] = x
			return with, []moved{m}, g.end, true
		}
	}
	row := x.Row()
	last := r.moved(g.end)
	if row.Kind != isa.KindALU || row.Fn != isa.FnMov || row.Imm || row.Width != 64 || last.Row().Kind != isa.KindStore || last.Row().Imm ||
		last.Dst != isa.FP || last.Frozen() || last.Src != x.Dst || r.live.After[g.end].Has(x.Dst) {
		return nil, nil, 0, false
	}
	first := last
	first.Src = x.Src
	return append(slices.Clone(between), first), []moved{last}, g.end + 1, true
}

// sameTarget: two instructions write the same register, or bytes of the frame,
// whatever was there.
func sameTarget(a, b *prog.Insn) bool {
	x, y := a.Row(), b.Row()
	switch {
	case x.Kind == isa.KindStore && y.Kind == isa.KindStore:
		return a.Dst == isa.FP && b.Dst == isa.FP && a.Off == b.Off && x.Width == y.Width && !a.Frozen() && !b.Frozen()
	case x.Kind == isa.KindALU && y.Kind == isa.KindALU:
		return a.Dst == b.Dst && (a.Use()|b.Use())&a.Def() == 0 && !a.Frozen() && !b.Frozen()
	}
	return false
}

// overlap tells whether two accesses through one register touch.
func overlap(a, b *prog.Insn) bool {
	return int(a.Off) < int(b.Off)+int(b.Row().Width/8) && int(b.Off) < int(a.Off)+int(a.Row().Width/8)
}
