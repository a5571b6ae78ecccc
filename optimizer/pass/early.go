package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
)

// early loads at once what a saved pointer is kept for: `r6 = r1; call; r2 =
// *(r6 + 8)`, with no other use of r6, becomes `r6 = *(r1 + 8); call`, and r6
// stands for r2.
func early(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		if row.Kind != isa.KindALU || row.Fn != isa.FnMov || row.Imm || row.Width != 64 || in.Frozen() || !isa.CalleeSaved.Has(in.Dst) ||
			in.Src == isa.FP || !r.cfg.Reachable(k) || k+1 >= len(r.f.Insns) || !r.live.After[k].Has(in.Dst) {
			continue
		}
		p, ok := r.webOf(k+1, in.Dst)
		if !ok || len(p.defs) != 1 || !p.defs[k] || len(p.uses) != 1 {
			continue
		}
		for l := range p.uses {
			if r.loadsEarly(k, l) {
				return
			}
		}
	}
}

// loadsEarly puts the load at l in the place of the copy at k.
func (r *run) loadsEarly(k, l int) bool {
	in, load := &r.f.Insns[k], &r.f.Insns[l]
	if load.Row().Kind != isa.KindLoad || load.Frozen() || load.Src != in.Dst || load.Dst == in.Dst || l+1 >= len(r.f.Insns) || !r.live.After[l].Has(load.Dst) {
		return false
	}
	w, ok := r.webOf(l+1, load.Dst)
	if !ok || len(w.defs) != 1 && !r.updatesOnly(w, l) || !w.defs[l] || !r.free(w, in.Dst, l) ||
		!r.ok(k, "loads at once what the copy was kept for: %s", text(load)) {
		return false
	}
	r.rename(w, load.Dst, in.Dst)
	r.nop(l)
	x := load.Insn
	x.Dst, x.Src = in.Dst, in.Src
	r.set(k, x)
	return true
}

// updatesOnly: every definition of a web but the one at l builds on what the
// register held.
func (r *run) updatesOnly(w *web, l int) bool {
	for d := range w.defs {
		if d != l && r.f.Insns[d].Def()&r.f.Insns[d].Use() == 0 {
			return false
		}
	}
	return true
}
