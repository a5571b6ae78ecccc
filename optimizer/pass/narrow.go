package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// narrowCompares compares 32 bits where the upper halves are zero, or copies of the
// sign: shorter code, and what made them so may have no use.
func narrowCompares(r *run) {
	if r.MCPU < 3 {
		return
	}
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		st := r.vals.Before[k]
		if row.Kind != isa.KindCondJump || row.Width != 64 || in.Frozen() || st == nil || st.Regs[in.Dst] == 0 || !row.Imm && st.Regs[in.Src] == 0 {
			continue
		}
		a, b := st.Regs[in.Dst], st.Regs[in.Src]
		if row.Imm {
			b = r.vals.C.Const(uint64(in.Imm), 64)
		}
		if !sameOrder(r.vals.C, row.Fn, a, b) || !r.ok(k, "compares 32 bits: %s", text(in)) {
			continue
		}
		n := in.Insn
		n.Op = isa.CondJump(row.Fn, 32, row.Imm)
		r.set(k, n)
		r.g.Insns[k].Target = in.Target
	}
}

// sameOrder: a comparison of the lower halves of a and b gives what that of the
// whole gives. Extending the sign of two numbers keeps both their orders, and
// repeats a bit that a bit test sees anyway.
func sameOrder(c *smt.Ctx, fn isa.Fn, a, b smt.Term) bool {
	if signExtended(c, a) && signExtended(c, b) {
		return true
	}
	need := ^lowBits(32)
	switch fn {
	case isa.FnJsgt, isa.FnJsge, isa.FnJslt, isa.FnJsle:
		need = ^lowBits(31)
	}
	x, _ := c.Known(a)
	y, _ := c.Known(b)
	return x&y&need == need
}

// signExtended: the upper half of a repeats bit 31.
func signExtended(c *smt.Ctx, a smt.Term) bool { return c.SExt(c.Extract(a, 0, 32), 64) == a }
