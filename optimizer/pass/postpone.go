package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// postpone makes a call that only looks something up where its result is used, behind
// other calls, instead of keeping the result over them. A lookup in an array gives
// the same pointer whatever has happened in between.
func postpone(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindCallHelper || in.Frozen() || !isa.HelperOf(int32(in.Imm)).Droppable() || r.vals.Before[k] == nil || k+1 >= len(r.f.Insns) {
			continue
		}
		keep := &r.f.Insns[k+1]
		if !isMove(keep) || keep.Src != isa.R0 || !isa.CalleeSaved.Has(keep.Dst) || r.live.After[k+1].Has(isa.R0) || r.cfg.BlockOf[k] != r.cfg.BlockOf[k+1] {
			continue
		}
		from := r.arguments(k)
		to, ok := r.wantedAt(k+1, keep.Dst)
		if !ok || !r.sameResult(from, k+1, to, keep.Dst) {
			continue
		}
		f, ok := r.lightened(func(s *run) {
			for p := from; p < k+2; p++ {
				s.nop(p)
			}
			s.later(to, r.f.Insns[from:k+2]...)
		})
		if !ok || !r.ok(k, "called where its result is used: %s", text(in)) {
			continue
		}
		r.g = f
		return
	}
}

// arguments is where the code starts that does nothing but set the arguments of the
// call at k.
func (r *run) arguments(k int) int {
	args := r.f.Insns[k].Use()
	from := k
	for p := k - 1; p >= r.cfg.Blocks[r.cfg.BlockOf[k]].From; p-- {
		in := &r.f.Insns[p]
		kind := in.Row().Kind
		if kind != isa.KindALU && kind != isa.KindLoadImm || in.Def()&^args != 0 || in.Use()&^(args.With(isa.FP)) != 0 {
			break
		}
		from = p
	}
	return from
}

// wantedAt is a place behind a call, in the block of the first use of x as k sets it,
// where no register is wanted that a call takes.
func (r *run) wantedAt(k int, x isa.Reg) (int, bool) {
	w, ok := r.only(k)
	if !ok {
		return 0, false
	}
	first := -1
	for u := range w.uses {
		if first < 0 || r.before(u, first) {
			first = u
		}
	}
	for u := range w.uses {
		if u != first && !r.before(first, u) {
			return 0, false
		}
	}
	if first < 0 || !r.before(k, first) {
		return 0, false
	}
	for p := first; p >= r.cfg.Blocks[r.cfg.BlockOf[first]].From && p > k; p-- {
		if r.live.Before[p]&isa.CallerSaved == 0 {
			for q := range between(k, p, r.preds()) {
				if q != p && r.f.Insns[q].IsCall() {
					return p, true
				}
			}
		}
		if r.f.Insns[p].IsCall() && p < first {
			break
		}
	}
	return 0, false
}

// sameResult: the code [from,to) gives register x before instruction p what x holds
// there.
func (r *run) sameResult(from, to, p int, x isa.Reg) bool {
	st := r.vals.Before[p]
	if st == nil || st.Regs[x] == 0 {
		return false
	}
	now := st.Clone()
	for k := from; k < to; k++ {
		in := prog.New(r.f.Insns[k].Insn)
		in.Ref = r.f.Insns[k].Ref
		if _, err := r.vals.E.Step(now, &in); err != nil {
			return false
		}
	}
	return now.Regs[isa.R0] == st.Regs[x]
}
