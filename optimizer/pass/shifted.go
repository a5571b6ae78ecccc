package pass

import (
	"cmp"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// shifted leaves in the lower half of a register what older code shifts to the upper
// one to have 32 bits compared or their sign extended: where all that is done with it
// can be done to the lower half, too, the shift is not needed.
//
//	r1 <<= 32                   if w1 s< 1 goto out
//	if r1 s< 1 goto out         r2 = (s32)r1
//	r2 = r1
//	r2 s>>= 32
func shifted(r *run) {
	if r.MCPU < 3 {
		return
	}
	var demand []demanded
	done := map[int]bool{}
	for k := range r.f.Insns {
		if in := &r.f.Insns[k]; done[k] || !shiftsUp(in) || !r.cfg.Reachable(k) || !r.live.After[k].Has(in.Dst) {
			continue
		}
		if demand == nil {
			demand = r.demand()
		}
		u := &upper{run: r, demand: demand, at: map[int]isa.RegSet{}, code: map[int]isa.Insn{}}
		if !u.from(k) {
			continue
		}
		for _, i := range u.shifts {
			done[i] = true
		}
		if !r.ok(k, "done to the lower half of a register: %s", text(&r.f.Insns[k])) {
			continue
		}
		for i, n := range u.code {
			target := r.g.Insns[i].Target
			r.set(i, n)
			r.g.Insns[i].Target = target
		}
	}
}

// shiftsUp: the instruction shifts the lower half to the upper one.
func shiftsUp(in *prog.Insn) bool {
	row := in.Row()
	return row.Kind == isa.KindALU && row.Fn == isa.FnLsh && row.Width == 64 && row.Imm && in.Imm == 32 && !in.Frozen()
}

// upper collects where registers hold numbers in their upper halves, and what takes
// the place of the instructions that handle them.
type upper struct {
	*run
	demand []demanded
	at     map[int]isa.RegSet // before an instruction
	code   map[int]isa.Insn   // a Nop to remove the instruction
	shifts []int
	work   []int
}

// from follows what the shift at k gives, and what meets that; it fails where
// anything else comes in or is done with it.
func (u *upper) from(k int) bool {
	u.begins(k, isa.Insn{Op: isa.Nop})
	for len(u.work) > 0 {
		k := u.work[len(u.work)-1]
		u.work = u.work[:len(u.work)-1]
		if !u.step(k) || !u.comes(k) {
			return false
		}
	}
	return true
}

// begins: the result of instruction k, whose place code takes, is such a value.
func (u *upper) begins(k int, code isa.Insn) {
	if code.Op == isa.Nop {
		u.shifts = append(u.shifts, k)
	}
	u.code[k] = code
	u.flows(k, u.f.Insns[k].Dst)
}

// flows: x holds such a value after instruction k.
func (u *upper) flows(k int, x isa.Reg) {
	if u.live.After[k].Has(x) {
		for _, s := range prog.Succs(u.f, k) {
			u.holds(s, x)
		}
	}
}

// holds: x holds such a value before instruction k, if it is read from there on.
func (u *upper) holds(k int, x isa.Reg) {
	if u.live.Before[k].Has(x) && !u.at[k].Has(x) {
		u.at[k] = u.at[k].With(x)
		u.work = append(u.work, k)
	}
}

// comes: whatever instructions come before k leave such values in the registers that
// hold them at k, if their operands are such values.
func (u *upper) comes(k int) bool {
	for x := isa.R0; x < isa.FP; x++ {
		if !u.at[k].Has(x) {
			continue
		}
		if k == 0 {
			return false
		}
		for _, p := range u.preds()[k] {
			if !u.leaves(p, x) {
				return false
			}
		}
	}
	return true
}

func (u *upper) leaves(p int, x isa.Reg) bool {
	in := &u.f.Insns[p]
	if !in.Def().Has(x) {
		u.holds(p, x)
		return true
	}
	if v, ok := u.constantOf(p); ok {
		u.begins(p, isa.Insn{Op: isa.ALU(isa.FnMov, 32, true), Dst: x, Imm: v})
		return true
	}
	row := in.Row()
	switch {
	case shiftsUp(in):
		if _, known := u.code[p]; !known {
			u.begins(p, isa.Insn{Op: isa.Nop})
		}
		return true
	case row.Kind != isa.KindALU || row.Width != 64 || row.Imm || in.Frozen():
		return false
	case row.Fn == isa.FnMov:
		u.holds(p, in.Src)
		return in.Src != isa.FP
	case additive(row.Fn):
		u.holds(p, in.Dst)
		return true
	}
	return false
}

// additive: done to the upper halves, where the lower ones are zero, the operation
// gives what it gives for lower halves.
func additive(fn isa.Fn) bool {
	return fn == isa.FnAdd || fn == isa.FnSub || fn == isa.FnAnd || fn == isa.FnOr || fn == isa.FnXor
}

// constantOf is the upper half of the constant that instruction k makes, if its lower
// half is zero.
func (u *upper) constantOf(k int) (int64, bool) {
	in := &u.f.Insns[k]
	if in.Ref != nil || in.Row().Kind != isa.KindLoadImm && (in.Row().Kind != isa.KindALU || in.Row().Fn != isa.FnMov || !in.Row().Imm) {
		return 0, false
	}
	return int64(int32(in.Imm >> 32)), in.Imm&0xffffffff == 0
}

// constantIn is the same of what register y holds before instruction k.
func (u *upper) constantIn(k int, y isa.Reg) (int64, bool) {
	st := u.vals.Before[k]
	if st == nil || st.Regs[y] == 0 {
		return 0, false
	}
	v, ok := u.vals.C.IsConst(st.Regs[y])
	return int64(int32(v >> 32)), ok && uint32(v) == 0
}

// step finds what does to lower halves what instruction k does to upper ones.
func (u *upper) step(k int) bool {
	in, at := &u.f.Insns[k], u.at[k]
	for x := isa.R0; x < isa.FP; x++ {
		if at.Has(x) && !in.Def().Has(x) {
			u.flows(k, x)
		}
	}
	if in.Use()&at == 0 {
		return true
	}
	if row := in.Row(); row.Width != 64 || in.Frozen() {
		return false
	} else if row.Kind == isa.KindCondJump {
		return u.compare(k)
	} else if row.Kind == isa.KindALU {
		return u.operation(k)
	}
	return false
}

// both is the operation of two such values in the place of instruction k; the second
// may be a constant.
func (u *upper) both(k int, op func(imm bool) isa.Op) isa.Insn {
	in := &u.f.Insns[k]
	u.holds(k, in.Dst)
	if v, ok := u.constantIn(k, in.Src); ok && !u.at[k].Has(in.Src) {
		return isa.Insn{Op: op(true), Dst: in.Dst, Imm: v}
	}
	u.holds(k, in.Src)
	return isa.Insn{Op: op(false), Dst: in.Dst, Src: in.Src}
}

func (u *upper) operation(k int) bool {
	in := &u.f.Insns[k]
	row := in.Row()
	switch {
	case row.Fn == isa.FnMov:
		u.code[k] = in.Insn
		u.flows(k, in.Dst)
		return true
	case additive(row.Fn) && !row.Imm:
		u.code[k] = u.both(k, func(imm bool) isa.Op { return isa.ALU(row.Fn, 32, imm) })
		u.flows(k, in.Dst)
		return true
	}
	switch row.Fn {
	case isa.FnRsh, isa.FnArsh:
		if !row.Imm || in.Imm < 32 {
			return false
		}
		n := isa.Insn{Op: isa.ALU(row.Fn, 32, true), Dst: in.Dst, Imm: in.Imm - 32}
		extends := u.demand[k][in.Dst]&^lowBits(32) != 0 && row.Fn == isa.FnArsh
		switch {
		case extends && (in.Imm > 32 || u.MCPU < 4):
			return false
		case extends:
			n = isa.Insn{Op: isa.ALUBits(isa.FnMovSX, 64, 32), Dst: in.Dst, Src: in.Dst}
		case in.Imm == 32:
			n = isa.Insn{Op: isa.ALU(isa.FnMov, 32, false), Dst: in.Dst, Src: in.Dst}
		}
		u.code[k] = n
		return true
	}
	return false
}

// compare: what a multiple of 2^32 is compared with may be rounded to one.
func (u *upper) compare(k int) bool {
	in := &u.f.Insns[k]
	row := in.Row()
	if !row.Imm {
		u.code[k] = u.both(k, func(imm bool) isa.Op { return isa.CondJump(row.Fn, 32, imm) })
		return true
	}
	down, up := int64(0), int64(cmp.Compare(in.Imm, 0))
	if in.Imm < 0 {
		down, up = -1, 0
	}
	n := isa.Insn{Op: isa.CondJump(row.Fn, 32, true), Dst: in.Dst}
	switch row.Fn {
	case isa.FnJeq, isa.FnJne:
		if in.Imm != 0 {
			return false
		}
	case isa.FnJsgt, isa.FnJsle, isa.FnJgt, isa.FnJle:
		n.Imm = down
	case isa.FnJsge, isa.FnJslt:
		n.Imm = up
	case isa.FnJge, isa.FnJlt:
		if n.Imm = up; in.Imm < 0 {
			return false // no upper half is as large
		}
	default:
		return false
	}
	u.code[k] = n
	return true
}
