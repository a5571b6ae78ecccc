package pass

import "github.com/superbpf/superbpf/optimizer/isa"

// edges lets a conditional jump go to code that sets a register on the way to where
// it goes now, instead of setting it before: `x = 1; if c goto T; ...; x = 1; goto T`
// needs the second only.
func edges(r *run) {
	used := map[int]bool{}
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindCondJump || in.Target == k+1 || k+1 >= len(r.f.Insns) || !r.cfg.Reachable(k) {
			continue
		}
		var passed []moved
		for d := k - 1; d >= r.cfg.Blocks[r.cfg.BlockOf[k]].From && len(passed) < maxBetween; d-- {
			x, m := &r.f.Insns[d], r.moved(d)
			if kind := x.Row().Kind; (kind == isa.KindALU || kind == isa.KindLoadImm) && !used[d] && x.Def()&in.Use() == 0 &&
				r.live.Before[in.Target]&x.Def() != 0 && r.live.Before[k+1]&x.Def() == 0 && m.apartFrom(passed) {
				if p := r.onTheWay(d, in.Target); p >= 0 && !used[p] && r.ok(k, "goes by the copy at %d: %s", p, text(x)) {
					used[d], used[p] = true, true
					r.g.Insns[k].Target = p
					r.nop(d)
					break
				}
			}
			passed = append(passed, m)
		}
	}
}

// onTheWay finds an instruction that does what d does and is followed by
// instruction to, -1 if there is none.
func (r *run) onTheWay(d, to int) int {
	for p := range r.f.Insns {
		if p == d || !r.alike(p, d) || !r.cfg.Reachable(p) || p+1 >= len(r.f.Insns) {
			continue
		}
		if next := &r.f.Insns[p+1]; p+1 == to || next.Row().Kind == isa.KindJump && next.Target == to {
			return p
		}
	}
	return -1
}
