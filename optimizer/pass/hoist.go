package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxHoist bounds the instructions of a way of a branch that are looked at.
const maxHoist = 24

// hoist moves before a branch what both ways do, if it can come first on either. Of
// a way that branches at once, one of its ways can do it, if it disturbs the other
// one as little.
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
		share := func(a, b *prog.Block, keep isa.RegSet, alone bool) {
			if taken[a.From] || taken[b.From] {
				return
			}
			common, twins := r.commonHead(headOf(a), headOf(b), keep|in.Use(), alone)
			if len(common) == 0 || !r.ok(k, "both ways have %d instructions, such as %s", len(common), text(&r.f.Insns[common[0]])) {
				return
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
		share(a, b, 0, false)
		r.throughBranch(a, func(w *prog.Block, keep isa.RegSet) { share(w, b, keep, true) })
		r.throughBranch(b, func(w *prog.Block, keep isa.RegSet) { share(a, w, keep, true) })
	}
}

func headOf(b *prog.Block) []int { return span(b.From, min(b.To, b.From+maxHoist)) }

// throughBranch tells of the ways of a block that is a branch alone, and of what must
// be kept before it for the branch and the other way.
func (r *run) throughBranch(b *prog.Block, tell func(w *prog.Block, keep isa.RegSet)) {
	k := b.From
	in := &r.f.Insns[k]
	if b.To != k+1 || in.Row().Kind != isa.KindCondJump || in.Frozen() || k+1 >= len(r.f.Insns) || in.Target <= k+1 {
		return
	}
	for _, way := range [][2]int{{k + 1, in.Target}, {in.Target, k + 1}} {
		if w := &r.cfg.Blocks[r.cfg.BlockOf[way[0]]]; w.From == way[0] && len(w.Preds) == 1 {
			tell(w, in.Use()|r.live.Before[way[1]])
		}
	}
}

// commonHead takes from two ways what they have in common and can begin with, in
// order, and what does not write any register of keep; alone: only what computes a
// register from others.
func (r *run) commonHead(a, b []int, keep isa.RegSet, alone bool) (common, twins []int) {
next:
	for i := range a {
		x := &r.f.Insns[a[i]]
		switch x.Row().Kind {
		case isa.KindALU, isa.KindLoadImm:
		case isa.KindLoad, isa.KindStore:
			if alone {
				continue
			}
		default:
			continue
		}
		if x.Def()&keep != 0 || !r.first(a, i) {
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
