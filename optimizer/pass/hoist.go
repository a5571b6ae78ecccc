package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// maxHoist bounds the instructions of a way of a branch that are looked at.
const maxHoist = 24

// hoist moves before a branch what both ways do, if it can come first on either.
func hoist(r *run) {
	taken := map[int]bool{} // blocks that lost something
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindCondJump || k+1 >= len(r.f.Insns) || in.Target == k+1 || !r.cfg.Reachable(k) {
			continue
		}
		a, b := &r.cfg.Blocks[r.cfg.BlockOf[k+1]], &r.cfg.Blocks[r.cfg.BlockOf[in.Target]]
		if len(a.Preds) != 1 || len(b.Preds) != 1 || b.From != in.Target || taken[a.From] || taken[b.From] || taken[r.cfg.Blocks[r.cfg.BlockOf[k]].From] {
			continue
		}
		common, twins := r.commonHead(k, span(a.From, min(a.To, a.From+maxHoist)), span(b.From, min(b.To, b.From+maxHoist)))
		if len(common) == 0 || !r.ok(k, "both ways have %d instructions, such as %s", len(common), text(&r.f.Insns[common[0]])) {
			continue
		}
		taken[a.From], taken[b.From] = true, true
		code := r.g.Insns[k:k:k]
		for i := range common {
			code = append(code, r.f.Insns[common[i]])
			r.nop(common[i])
			r.nop(twins[i])
		}
		r.later(k, code...)
	}
}

// commonHead takes from the two ways of the branch at k what they have in common
// and can begin with, in order.
func (r *run) commonHead(k int, a, b []int) (common, twins []int) {
	cond := r.f.Insns[k].Use()
next:
	for i := range a {
		x := &r.f.Insns[a[i]]
		switch x.Row().Kind {
		case isa.KindALU, isa.KindLoadImm, isa.KindLoad, isa.KindStore:
		default:
			continue
		}
		if x.Def()&cond != 0 || !r.first(a, i) {
			continue
		}
		for j := range b {
			if r.alike(a[i], b[j]) && r.first(b, j) {
				common, twins = append(common, a[i]), append(twins, b[j])
				a, b = slices.Delete(a, i, i+1), slices.Delete(b, j, j+1)
				goto next
			}
		}
	}
	return common, twins
}

// first: the i-th of a row of instructions can be the first of them.
func (r *run) first(row []int, i int) bool {
	x := r.moved(row[i])
	for _, k := range row[:i] {
		if !apart(r.moved(k), x) {
			return false
		}
	}
	return true
}
