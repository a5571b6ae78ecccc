package pass

import (
	"math"
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// slowDivision is how many times the price of what replaces it a division must have.
// The prices are of many of a kind in a row; one alone is partly hidden behind the code
// around it, while each instruction of the replacement waits for the one before.
const slowDivision = 4

// reciprocals multiplies and shifts where a constant divides, on processors that take
// much longer for a division than for all of that. Signed divisions by powers of two
// become shifts. Divisions by registers look at 32 bits where no more are set.
func reciprocals(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		if row.Kind != isa.KindALU || in.Frozen() || r.vals.Before[k] == nil || r.vals.Before[k].Regs[in.Dst] == 0 {
			continue
		}
		if !row.Imm {
			r.divideLow(k)
		}
		if !row.Imm || in.Imm < 2 {
			continue
		}
		var code []isa.Insn
		switch row.Fn {
		case isa.FnDiv, isa.FnMod:
			code = r.byReciprocal(k)
		case isa.FnSDiv, isa.FnSMod:
			code = r.byShifts(k)
		}
		if code == nil || !r.slow(in, code) || !r.ok(k, "no division: %s", text(in)) {
			continue
		}
		var with []prog.Insn
		for _, c := range code {
			with = append(with, r.at(k, c))
		}
		r.replaceLater(k, with...)
	}
}

// slow: the division takes long enough to put code in its place.
func (r *run) slow(in *prog.Insn, code []isa.Insn) bool {
	if r.Model == nil {
		return true
	}
	sum := 0.0
	for _, c := range code {
		x := prog.New(c)
		sum += r.Model.One(&x)
	}
	return r.Model.One(in) >= slowDivision*sum
}

// divideLow divides the lower halves where the upper ones are zero.
func (r *run) divideLow(k int) {
	in := &r.f.Insns[k]
	row, regs := in.Row(), r.vals.Before[k].Regs
	if row.Width != 64 || row.Fn != isa.FnDiv && row.Fn != isa.FnMod || regs[in.Src] == 0 {
		return
	}
	x, _ := r.vals.C.Known(regs[in.Dst])
	y, _ := r.vals.C.Known(regs[in.Src])
	op := isa.ALU(row.Fn, 32, false)
	if (x&y)>>32 == math.MaxUint32 && r.has(op) && r.ok(k, "divides 32 bits: %s", text(in)) {
		r.g.Insns[k].Op = op
	}
}

// byReciprocal is code for the unsigned division at k.
func (r *run) byReciprocal(k int) []isa.Insn {
	in := &r.f.Insns[k]
	row, d, y := in.Row(), in.Dst, uint64(in.Imm)
	x := r.vals.Before[k].Regs[d]
	zeros, _ := r.vals.C.Known(x)
	var code []isa.Insn
	if row.Width == 32 && zeros>>32 != math.MaxUint32 {
		low := isa.Insn{Op: isa.ALU(isa.FnMov, 32, false), Dst: d, Src: d}
		if !r.has(low.Op) {
			return nil
		}
		code = append(code, low)
		zeros |= math.MaxUint32 << 32
	}
	m, s, ok := smt.Reciprocal(y, 1<<bits.Len64(^zeros)-1)
	if !ok {
		return nil
	}
	alu := func(fn isa.Fn, dst isa.Reg, imm uint64) isa.Insn {
		return isa.Insn{Op: isa.ALU(fn, 64, true), Dst: dst, Imm: int64(imm)}
	}
	by := func(fn isa.Fn, dst, src isa.Reg) isa.Insn {
		return isa.Insn{Op: isa.ALU(fn, 64, false), Dst: dst, Src: src}
	}
	short := m <= math.MaxInt32
	if row.Fn == isa.FnDiv && short {
		return append(code, alu(isa.FnMul, d, m), alu(isa.FnRsh, d, uint64(s)))
	}
	t, ok := r.unused(r.live.After[k].With(d))
	if !ok {
		return nil
	}
	if short {
		code = append(code, movReg(t, d), alu(isa.FnMul, t, m))
	} else {
		code = append(code, isa.Insn{Op: isa.LoadImm, Dst: t, Imm: int64(m)})
		if row.Fn == isa.FnDiv {
			return append(code, by(isa.FnMul, d, t), alu(isa.FnRsh, d, uint64(s)))
		}
		code = append(code, by(isa.FnMul, t, d))
	}
	return append(code, alu(isa.FnRsh, t, uint64(s)), alu(isa.FnMul, t, y), by(isa.FnSub, d, t))
}

// byShifts is code for the signed division at k by a power of two: what rounds a
// negative dividend up is added first.
func (r *run) byShifts(k int) []isa.Insn {
	in := &r.f.Insns[k]
	row, d := in.Row(), in.Dst
	n := int64(bits.TrailingZeros64(uint64(in.Imm)))
	if in.Imm != 1<<n {
		return nil
	}
	t, ok := r.unused(r.live.After[k].With(d))
	if !ok {
		return nil
	}
	w := int64(row.Width)
	alu := func(fn isa.Fn, dst isa.Reg, imm int64) isa.Insn {
		return isa.Insn{Op: isa.ALU(fn, row.Width, true), Dst: dst, Imm: imm}
	}
	by := func(fn isa.Fn, dst, src isa.Reg) isa.Insn {
		return isa.Insn{Op: isa.ALU(fn, row.Width, false), Dst: dst, Src: src}
	}
	code := []isa.Insn{movReg(t, d)}
	if n > 1 {
		code = append(code, alu(isa.FnArsh, t, w-1))
	}
	code = append(code, alu(isa.FnRsh, t, w-n), by(isa.FnAdd, d, t))
	if row.Fn == isa.FnSDiv {
		return append(code, alu(isa.FnArsh, d, n))
	}
	return append(code, alu(isa.FnAnd, d, in.Imm-1), by(isa.FnSub, d, t))
}
