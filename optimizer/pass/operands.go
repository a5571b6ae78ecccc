package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// older finds the register written longest ago that holds a term.
func (r *run) older(k int, s isa.Reg, same func(t smt.Term) bool) (isa.Reg, bool) {
	st := r.vals.Before[k]
	best := s
	for x := isa.R0; x < isa.FP; x++ {
		if st.Regs[x] != 0 && r.vals.Age[k][x] < r.vals.Age[k][best] && same(st.Regs[x]) {
			best = x
		}
	}
	return best, best != s
}

// operands rewrites what instructions read: an immediate for a register that
// is constant, an older register for a copy, a base with the offset folded in.
// What computed the old operand then often has no use.
func operands(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		st := r.vals.Before[k]
		if st == nil || in.Frozen() || in.Op == isa.Nop {
			continue
		}
		row := in.Row()
		switch row.Kind {
		case isa.KindALU:
			r.aluOperand(k, in, st)
		case isa.KindLoad:
			r.base(k, in, in.Src, func(n *isa.Insn, b isa.Reg) { n.Src = b })
		case isa.KindStore:
			if !r.storeOperand(k, in, st) {
				r.base(k, in, in.Dst, func(n *isa.Insn, b isa.Reg) { n.Dst = b })
			}
		case isa.KindCondJump:
			r.jumpOperand(k, in, st)
		}
	}
}

// immediate gives a register's value as an immediate for operations of width
// w, if it is constant and fits.
func (r *run) immediate(t smt.Term, w uint8) (int64, bool) {
	if t == 0 {
		return 0, false
	}
	v, ok := r.vals.C.IsConst(r.vals.C.Extract(t, 0, w))
	if !ok {
		return 0, false
	}
	if w < 64 {
		return int64(int32(v)), true
	}
	return int64(v), int64(int32(v)) == int64(v)
}

func (r *run) aluOperand(k int, in *prog.Insn, st *symex.State) {
	row := in.Row()
	if row.Imm || !row.ReadsSrc {
		return
	}
	if op := isa.ALU(row.Fn, row.Width, true); op != 0 {
		if v, ok := r.immediate(st.Regs[in.Src], row.Width); ok && r.ok(k, "operand is %d: %s", v, text(in)) {
			r.set(k, isa.Insn{Op: op, Dst: in.Dst, Imm: v})
			return
		}
	}
	w := row.Width
	if row.Bits != 0 {
		w = row.Bits
	}
	want := r.low(st.Regs[in.Src], w)
	if s, ok := r.older(k, in.Src, func(t smt.Term) bool { return r.low(t, w) == want }); ok && r.ok(k, "r%d for its copy: %s", s, text(in)) {
		n := in.Insn
		n.Src = s
		r.set(k, n)
	}
}

func (r *run) low(t smt.Term, w uint8) smt.Term { return r.vals.C.Extract(t, 0, w) }

// base rewrites the address of an access as an older register and an offset.
func (r *run) base(k int, in *prog.Insn, b isa.Reg, put func(*isa.Insn, isa.Reg)) {
	st, c := r.vals.Before[k], r.vals.C
	if b == isa.FP || st.Regs[b] == 0 {
		return
	}
	var delta int64
	found := isa.Reg(0)
	ok := false
	age := r.vals.Age[k]
	for x := isa.R0; x <= isa.FP; x++ {
		xAge := -1
		if x < isa.FP {
			xAge = age[x]
		}
		if x == b || st.Regs[x] == 0 || xAge >= age[b] || ok && found < isa.FP && xAge >= age[found] {
			continue
		}
		d, isConst := c.IsConst(c.Sub(st.Regs[b], st.Regs[x]))
		if !isConst {
			continue
		}
		if off := int64(d) + int64(in.Off); off == int64(int16(off)) {
			found, delta, ok = x, off, true
		}
	}
	if ok && r.ok(k, "r%d%+d for the address: %s", found, delta, text(in)) {
		n := in.Insn
		n.Off = int16(delta)
		put(&n, found)
		ref := r.g.Insns[k].Ref
		r.set(k, n)
		r.g.Insns[k].Ref = ref
	}
}

func (r *run) storeOperand(k int, in *prog.Insn, st *symex.State) bool {
	row := in.Row()
	if row.Imm || st.Regs[in.Src] == 0 {
		return false
	}
	if v, ok := r.immediate(st.Regs[in.Src], row.Width); ok {
		if r.MCPU < 4 && r.contextStore(k, in) {
			return false // kernels of that time take no immediates there
		}
		if r.ok(k, "stores the constant %d: %s", v, text(in)) {
			if row.Width < 32 {
				v = int64(uint64(v) & (1<<row.Width - 1))
			}
			r.set(k, isa.Insn{Op: isa.Store(row.Width, true), Dst: in.Dst, Off: in.Off, Imm: v})
			return true
		}
		return false
	}
	want := r.low(st.Regs[in.Src], row.Width)
	if s, ok := r.older(k, in.Src, func(t smt.Term) bool { return r.low(t, row.Width) == want }); ok && r.ok(k, "stores r%d for its copy: %s", s, text(in)) {
		n := in.Insn
		n.Src = s
		r.set(k, n)
		return true
	}
	return false
}

func (r *run) contextStore(k int, in *prog.Insn) bool {
	st := r.vals.Before[k]
	return st != nil && st.Regs[in.Dst] != 0 && r.vals.E.RegionOf(st.Regs[in.Dst]).Kind == symex.Context
}

func (r *run) jumpOperand(k int, in *prog.Insn, st *symex.State) {
	row := in.Row()
	set := func(n isa.Insn) {
		t := r.g.Insns[k].Target
		r.set(k, n)
		r.g.Insns[k].Target = t
	}
	if !row.Imm {
		if v, ok := r.immediate(st.Regs[in.Src], row.Width); ok && r.ok(k, "compares with %d: %s", v, text(in)) {
			set(isa.Insn{Op: isa.CondJump(row.Fn, row.Width, true), Dst: in.Dst, Imm: v})
			return
		}
		if v, ok := r.immediate(st.Regs[in.Dst], row.Width); ok && swapped[row.Fn] != 0 && r.has(isa.CondJump(swapped[row.Fn], row.Width, true)) && r.ok(k, "compares with %d: %s", v, text(in)) {
			set(isa.Insn{Op: isa.CondJump(swapped[row.Fn], row.Width, true), Dst: in.Src, Imm: v})
			return
		}
		if want := r.low(st.Regs[in.Src], row.Width); want != 0 {
			if s, ok := r.older(k, in.Src, func(t smt.Term) bool { return r.low(t, row.Width) == want }); ok && r.ok(k, "compares with r%d for its copy: %s", s, text(in)) {
				n := in.Insn
				n.Src = s
				set(n)
				return
			}
		}
	}
	want := r.low(st.Regs[in.Dst], row.Width)
	if d, ok := r.older(k, in.Dst, func(t smt.Term) bool { return r.low(t, row.Width) == want }); ok && r.ok(k, "compares r%d for its copy: %s", d, text(in)) {
		n := in.Insn
		n.Dst = d
		set(n)
		return
	}
	// A narrower comparison of a value whose upper half is zero, or that was
	// shifted up to get rid of it.
	r.narrowJump(k, in, st, set)
}

// narrowJump compares 32 bits of an older register where that decides the
// same.
func (r *run) narrowJump(k int, in *prog.Insn, st *symex.State, set func(isa.Insn)) {
	row := in.Row()
	if r.MCPU < 3 || row.Width != 64 || !row.Imm {
		return
	}
	cond := r.vals.Cond[k]
	op := isa.CondJump(row.Fn, 32, true)
	for x := isa.R0; x < isa.FP; x++ {
		if st.Regs[x] == 0 || x == in.Dst || r.vals.Age[k][x] >= r.vals.Age[k][in.Dst] {
			continue
		}
		for _, imm := range []int64{in.Imm, in.Imm >> 32} {
			n := prog.New(isa.Insn{Op: op, Dst: x, Imm: int64(int32(imm))})
			n.Target = in.Target
			got, err := r.vals.E.Step(st.Clone(), &n)
			if err == nil && got == cond && r.ok(k, "compares 32 bits of r%d: %s", x, text(in)) {
				set(n.Insn)
				return
			}
		}
	}
}
