package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// deposit stores a value before a branch that changes the register it is in, where it
// is loaded again behind the branch in order to be stored: a record that holds a length
// and the length as far as it is used, say.
func deposit(r *run) {
	for s := range r.f.Insns {
		in := &r.f.Insns[s]
		row := in.Row()
		if row.Kind != isa.KindStore || row.Imm || in.Dst != isa.FP || in.Frozen() || r.live.After[s].Has(in.Src) || !r.cfg.Reachable(s) {
			continue
		}
		l, ok := r.loadedFor(s)
		if !ok {
			continue
		}
		t, ok := r.result(l)
		if !ok {
			continue
		}
		branch, ok := r.aroundArms(r.cfg.BlockOf[s])
		if !ok || r.vals.Before[branch] == nil {
			continue
		}
		want := r.low(t, row.Width)
		for x := isa.R0; x < isa.FP; x++ {
			held := r.vals.Before[branch].Regs[x]
			if held == 0 || !r.live.Before[branch].Has(x) || r.low(held, row.Width) != want || !r.ok(s, "stored before a branch, when r%d still has it: %s", x, text(in)) {
				continue
			}
			store := *in
			store.Src = x
			r.later(branch, store)
			r.nop(s)
			r.nop(l)
			return // the frame has changed
		}
	}
}

// loadedFor is the load, in the block of store s, that is there for it alone.
func (r *run) loadedFor(s int) (int, bool) {
	x := r.f.Insns[s].Src
	for k := s - 1; k >= r.cfg.Blocks[r.cfg.BlockOf[s]].From; k-- {
		in := &r.f.Insns[k]
		switch {
		case in.Def().Has(x):
			return k, in.Row().Kind == isa.KindLoad && !in.Frozen()
		case in.Use().Has(x):
			return 0, false
		}
	}
	return 0, false
}

// aroundArms is the branch that every way to a block comes from, at once or by a
// block of its own that leaves memory alone.
func (r *run) aroundArms(block int) (int, bool) {
	branch := -1
	for _, p := range r.cfg.Blocks[block].Preds {
		b := &r.cfg.Blocks[p]
		last := b.To - 1
		if len(b.Succs) == 1 && len(b.Preds) == 1 {
			for k := b.From; k < b.To; k++ {
				if kind := r.f.Insns[k].Row().Kind; kind != isa.KindALU && kind != isa.KindLoadImm && kind != isa.KindJump {
					return 0, false
				}
			}
			last = r.cfg.Blocks[b.Preds[0]].To - 1
		}
		if branch >= 0 && branch != last || r.f.Insns[last].Row().Kind != isa.KindCondJump {
			return 0, false
		}
		branch = last
	}
	return branch, branch >= 0 && len(prog.Succs(r.f, branch)) == 2
}
