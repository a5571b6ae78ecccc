package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// shareExit joins two neighbouring exits with different constant results. At
// the second, R0 is known to hold c; it becomes `r0 += K2 - c; exit`, and the
// first, instead of `r0 = K1; exit`, sets R0 so that the addition gives K1 and
// falls through.
func shareExit(r *run) {
	constant := func(k int) (int64, bool) {
		in := &r.f.Insns[k]
		row := in.Row()
		return in.Imm, row.Kind == isa.KindALU && row.Fn == isa.FnMov && row.Imm && in.Dst == isa.R0 && in.Ref == nil &&
			(row.Width == 64 || in.Imm >= 0)
	}
	exit := func(k int) bool { return r.f.Insns[k].Row().Kind == isa.KindExit }
	for k := 0; k+3 < len(r.f.Insns); k++ {
		k1, ok1 := constant(k)
		k2, ok2 := constant(k + 2)
		if !ok1 || !ok2 || k1 == k2 || !exit(k+1) || !exit(k+3) || !r.lonely(k+1) || !r.lonely(k+3) {
			continue
		}
		c, ok := r.knownResult(k + 2)
		if !ok {
			continue
		}
		add, first := k2-c, k1-(k2-c)
		if add == 0 || add != int64(int32(add)) || first != int64(int32(first)) || !r.ok(k, "results %d and %d share an exit", k1, k2) {
			continue
		}
		r.set(k, isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: isa.R0, Imm: first})
		r.nop(k + 1)
		r.set(k+2, isa.Insn{Op: isa.ALU(isa.FnAdd, 64, true), Dst: isa.R0, Imm: add})
	}
}

// knownResult is the constant that R0 holds at k: as a value, or because every
// way there compared it.
func (r *run) knownResult(k int) (int64, bool) {
	st := r.vals.Before[k]
	if st == nil || st.Regs[isa.R0] == 0 {
		return 0, false
	}
	c := r.vals.C
	if v, ok := c.IsConst(st.Regs[isa.R0]); ok {
		return int64(v), true
	}
	// The common case: a lookup that found nothing.
	return 0, slices.Contains(st.Path, c.Eq(st.Regs[isa.R0], c.Const(0, 64)))
}
