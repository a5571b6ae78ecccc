package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
)

// sink moves a computation behind the branch of which only one way needs it,
// so that the other way does not pay for it.
func sink(r *run) {
	for b := range r.cfg.Blocks {
		blk := &r.cfg.Blocks[b]
		branch := blk.To - 1
		if r.cfg.Pos[b] < 0 || r.f.Insns[branch].Row().Kind != isa.KindCondJump || len(blk.Succs) != 2 {
			continue
		}
		for k := branch - 1; k >= blk.From; k-- {
			to, ok := r.sinkTarget(k, branch, blk.Succs)
			if !ok || !r.ok(k, "only one way of %q needs %s", text(&r.f.Insns[branch]), text(&r.f.Insns[k])) {
				continue
			}
			in := r.f.Insns[k]
			r.nop(k)
			r.later(to, in)
		}
	}
}

// sinkTarget is where instruction k, before a branch with two successors, could
// go instead: the start of the only one of them that reads its result.
func (r *run) sinkTarget(k, branch int, succs []int) (int, bool) {
	in := &r.f.Insns[k]
	if !plain(in) || in.Def() == 0 {
		return 0, false
	}
	to := -1
	for _, s := range succs {
		blk := r.cfg.Blocks[s]
		if r.live.Before[blk.From]&in.Def() == 0 {
			continue
		}
		if to >= 0 || len(blk.Preds) != 1 || blk.From == 0 {
			return 0, false
		}
		to = blk.From
	}
	if to < 0 {
		return 0, false
	}
	load := in.Row().Kind == isa.KindLoad
	for i := k + 1; i <= branch; i++ {
		x := &r.f.Insns[i]
		if (x.Use()|x.Def())&in.Def() != 0 || x.Def()&in.Use() != 0 {
			return 0, false
		}
		switch x.Row().Kind {
		case isa.KindALU, isa.KindLoadImm, isa.KindLoad, isa.KindNop, isa.KindCondJump:
		case isa.KindStore:
			if load {
				return 0, false
			}
		default:
			return 0, false
		}
	}
	return to, true
}
