package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// halves stores a constant of 64 bits, which a register is loaded with for that
// alone, to the frame as two of 32: `r1 = 0x2a00000001 ll; *(u64 *)(r10 - 8) = r1`
// is one slot longer than the two stores.
func halves(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		if row.Kind != isa.KindStore || row.Imm || row.Width != 64 || in.Dst != isa.FP || in.Frozen() || !r.cfg.Reachable(k) || k == 0 {
			continue
		}
		w, ok := r.webOf(k, in.Src)
		if !ok || len(w.defs) != 1 || len(w.uses) != 1 {
			continue
		}
		for d := range w.defs {
			c := &r.f.Insns[d]
			if c.Row().Kind != isa.KindLoadImm || c.Ref != nil || !r.ok(k, "in two halves: %s", text(in)) {
				continue
			}
			half := func(off int16, v int64) prog.Insn {
				return r.at(k, isa.Insn{Op: isa.Store(32, true), Dst: isa.FP, Off: in.Off + off, Imm: int64(int32(v))})
			}
			r.replaceLater(k, half(0, c.Imm), half(4, c.Imm>>32))
			r.nop(d)
		}
	}
}
