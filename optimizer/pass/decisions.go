package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// Bounds of the code that makes one decision: its instructions, and the tests
// on the ways through it.
const (
	maxDecision = 20
	maxTests    = 16
)

// decisions branches on conditions right away where the code first makes
// numbers of them, combines these and tests the outcome.
func decisions(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindCondJump || in.Frozen() || !r.cfg.Reachable(k) || in.Target <= k || in.Target == k+1 || k+1 >= len(r.f.Insns) {
			continue
		}
		for _, h := range r.decisionStarts(k) {
			if r.decide(h, k) {
				return // positions changed: one a run
			}
		}
	}
}

// decisionStarts lists the tests, the farthest first, from which on there is
// nothing up to the branch at k but tests and what computes registers.
func (r *run) decisionStarts(k int) []int {
	var starts []int
	for h := k - 1; h >= max(k-maxDecision, 0); h-- {
		in := &r.f.Insns[h]
		row := in.Row()
		if row.Kind == isa.KindCondJump && !in.Frozen() && in.Target > h && in.Target <= k {
			if r.vals.Before[h] != nil && r.enclosed(h, k) {
				starts = append(starts, h)
			}
		} else if row.Kind != isa.KindALU || in.Frozen() {
			break
		}
	}
	slices.Reverse(starts)
	return starts
}

// enclosed: nothing from outside jumps between h and k, or to k.
func (r *run) enclosed(h, k int) bool {
	for p := h + 1; p <= k; p++ {
		for _, q := range r.preds()[p] {
			if q < h || q >= k {
				return false
			}
		}
	}
	return true
}

// decision is a test, or the way to go.
type decision struct {
	test      int // -1: no test
	to        int
	then, not *decision
}

func (d *decision) same(o *decision) bool {
	if d.test != o.test || d.to != o.to {
		return false
	}
	return d.test < 0 || d.then.same(o.then) && d.not.same(o.not)
}

// decide replaces [h,k] by the tests that decide where k goes.
func (r *run) decide(h, k int) bool {
	kept, defs, ok := r.besides(h, k)
	if !ok {
		return false
	}
	tests := 1
	for p := h; p < k; p++ {
		if r.f.Insns[p].Row().Kind == isa.KindCondJump {
			tests++
		}
	}
	left := maxTests
	tree := r.decisionTree(h, k, defs, r.vals.Before[h].Clone(), &left)
	if tree == nil || tree.test < 0 {
		return false
	}
	code := kept
	for d := tree; d.test >= 0; {
		in := r.f.Insns[d.test]
		next := d.not
		switch {
		case d.then.test < 0 && d.not.test < 0: // the last one
			if d.then.to == k+1 {
				if !invert(&in) {
					return false
				}
			}
			in.Target = r.f.Insns[k].Target
		case d.then.test < 0:
			in.Target = d.then.to
		case d.not.test < 0:
			if !invert(&in) {
				return false
			}
			in.Target, next = d.not.to, d.then
		default:
			return false // no row of tests
		}
		code = append(code, in)
		d = next
	}
	if len(code) >= k+1-h || !r.ok(k, "%d tests decide it, not %d and what they give: %s", len(code)-len(kept), tests, text(&r.f.Insns[k])) {
		return false
	}
	if err := r.g.Splice(h, k+1, code); err != nil {
		r.changes = r.changes[:len(r.changes)-1]
		return false
	}
	return true
}

// besides are the instructions right before the branch at k that have nothing to
// do with it: they can go before the test at h. defs are the registers that any
// others of [h,k) write, too; it fails where these are wanted afterwards.
func (r *run) besides(h, k int) (kept []prog.Insn, defs isa.RegSet, ok bool) {
	out := r.live.Before[r.f.Insns[k].Target] | r.live.Before[k+1]
	last := max(r.cfg.Blocks[r.cfg.BlockOf[k]].From, h+1)
	var dropped, saved isa.RegSet
	for p := h; p < k; p++ {
		in := &r.f.Insns[p]
		if p >= last && in.Def()&out != 0 {
			kept = append(kept, r.f.Insns[p])
			saved |= in.Def()
			continue
		}
		if in.Def()&saved != 0 {
			return nil, 0, false
		}
		dropped |= in.Def()
	}
	for _, in := range kept {
		if in.Use()&dropped != 0 {
			return nil, 0, false
		}
	}
	return kept, dropped | saved, dropped&^saved&out == 0
}

func invert(in *prog.Insn) bool {
	inv, ok := inverse[in.Row().Fn]
	if ok {
		in.Op = isa.CondJump(inv, in.Row().Width, in.Row().Imm)
	}
	return ok
}

// decisionTree follows the ways from p to k; nil if what k does depends on more
// than the tests before, or these on what is computed in between.
func (r *run) decisionTree(p, k int, defs isa.RegSet, st *symex.State, left *int) *decision {
	for {
		in := &r.f.Insns[p]
		cond, err := r.vals.E.Step(st, in)
		if err != nil {
			return nil
		}
		if in.Target < 0 {
			p++
			continue
		}
		way, known := r.settles(cond, st.Path)
		switch {
		case p == k && !known:
			return nil
		case p == k && way:
			return &decision{test: -1, to: in.Target}
		case p == k:
			return &decision{test: -1, to: k + 1}
		case known && way:
			p = in.Target
			continue
		case known:
			p++
			continue
		}
		if *left--; *left < 0 || in.Use()&defs != 0 {
			return nil
		}
		other := st.Clone()
		st.Path = append(slices.Clip(st.Path), cond)
		other.Path = append(slices.Clip(other.Path), r.vals.C.Not(cond))
		d := &decision{test: p, then: r.decisionTree(in.Target, k, defs, st, left), not: r.decisionTree(p+1, k, defs, other, left)}
		if d.then == nil || d.not == nil {
			return nil
		}
		if d.then.same(d.not) {
			return d.then
		}
		return d
	}
}
