package pass

import (
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// maxWindow is the longest run of instructions that windows looks at.
const maxWindow = 6

// windows replaces runs of instructions that change one live register by a
// single instruction that computes the same term. All operations, registers
// and likely immediates are tried: a bottom-up enumeration of depth one, with
// normal forms for fingerprints.
func windows(r *run) {
	for _, b := range r.cfg.Order {
		if r.over() {
			return
		}
		blk := r.cfg.Blocks[b]
		for from := blk.From; from < blk.To; from++ {
			for n := min(maxWindow, blk.To-from); n >= 1; n-- {
				if r.window(from, from+n) {
					from += n - 1
					break
				}
			}
		}
	}
}

func (r *run) window(from, to int) bool {
	st := r.vals.Before[from]
	if st == nil {
		return false
	}
	var written isa.RegSet
	for k := from; k < to; k++ {
		in := &r.f.Insns[k]
		if !plain(in) || in.Op == isa.Nop || in.Ref != nil && to-from > 1 {
			return false
		}
		written |= in.Def()
	}
	out := written & r.live.After[to-1]
	if out == 0 || out&(out-1) != 0 {
		return false
	}
	d := isa.Reg(0)
	for !out.Has(d) {
		d++
	}
	if to-from == 1 {
		in := &r.f.Insns[from]
		if in.Ref != nil {
			return in.Slots() > 1 && r.addInstead(from, d)
		}
		if row := in.Row(); in.Slots() == 1 && (row.Kind == isa.KindLoad || row.Fn != isa.FnMul && row.Fn != isa.FnDiv && row.Fn != isa.FnMod) {
			return false // one slot is as good as another
		}
	}
	after, err := r.vals.After(to-1, &r.f.Insns[to-1])
	if err != nil {
		return false
	}
	goal := after.Regs[d]
	if goal == 0 {
		return false
	}
	in, ok := r.instead(from, to, st, d, goal)
	if !ok || !r.ok(to-1, "%d instructions compute what %s does", to-from, isa.Format(in, "")) {
		return false
	}
	for k := from; k < to-1; k++ {
		r.nop(k)
	}
	r.set(to-1, in)
	return true
}

// found remembers what was found for a window while there are the same terms: a
// pass runs again for each set of sites, and on what is the same in a rewritten
// function.
type found struct {
	c  *smt.Ctx
	in map[question]isa.Insn // a Nop: there is nothing
}

// question is all that an answer depends on, but for the level of instructions.
type question struct {
	regs [isa.NumRegs]smt.Term
	d    isa.Reg
	goal smt.Term
	imms string
}

// instead is one instruction that does what a window does.
func (r *run) instead(from, to int, st *symex.State, d isa.Reg, goal smt.Term) (isa.Insn, bool) {
	if r.windows.c != r.vals.C {
		r.windows = found{r.vals.C, map[question]isa.Insn{}}
	}
	imms := r.immediates(from, to)
	q := question{st.Regs, d, goal, fmt.Sprint(imms)}
	in, ok := r.windows.in[q]
	if !ok {
		if in, ok = r.synthesize(st, d, goal, imms); !ok {
			in = isa.Insn{Op: isa.Nop}
		}
		r.windows.in[q] = in
	}
	return in, in.Op != isa.Nop
}

// addInstead makes the address that instruction k loads out of another one in
// the same register.
func (r *run) addInstead(k int, d isa.Reg) bool {
	goal, ok := r.result(k)
	old := r.vals.Before[k].Regs[d]
	if !ok || old == 0 {
		return false
	}
	v, ok := r.vals.C.IsConst(r.vals.C.Sub(goal, old))
	if !ok || int64(v) != int64(int32(v)) || !r.ok(k, "r%d %+d is what it loads: %s", d, int64(v), text(&r.f.Insns[k])) {
		return false
	}
	r.set(k, isa.Insn{Op: isa.ALU(isa.FnAdd, 64, true), Dst: d, Imm: int64(v)})
	return true
}

// immediates lists constants that a window's replacement may need.
func (r *run) immediates(from, to int) []int64 {
	list := []int64{-1, 1, 8, 16, 24, 32, 48, 56, 63, 31, 0xff, 0xffff, 0x7fffffff}
	var own []int64
	for k := from; k < to; k++ {
		if row := r.f.Insns[k].Row(); row.Imm {
			own = append(own, r.f.Insns[k].Imm)
		}
	}
	for i, a := range own {
		list = append(list, a, -a, ^a)
		for j, b := range own {
			if i == j {
				continue
			}
			list = append(list, a+b, a-b, a&b, a|b, a^b, a*b)
			if b >= 0 && b < 64 {
				list = append(list, a<<b, int64(uint64(a)>>b), int64(uint64(uint32(a))>>b))
			}
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return slices.DeleteFunc(list, func(v int64) bool { return v != int64(int32(v)) })
}

// synthesize looks for one ALU instruction on st that leaves goal in d.
func (r *run) synthesize(st *symex.State, d isa.Reg, goal smt.Term, imms []int64) (isa.Insn, bool) {
	scratch := *st
	try := func(in isa.Insn) bool {
		scratch.Regs = st.Regs
		p := prog.New(in)
		if !r.vals.E.Gives(st, &p, goal) {
			return false
		}
		if _, err := r.vals.E.Step(&scratch, &p); err != nil {
			return false
		}
		return scratch.Regs[d] == goal
	}
	if v, ok := r.vals.C.IsConst(goal); ok {
		if mov, ok := r.movConst(d, v); ok {
			return mov, true
		}
	}
	if st.Regs[d] != 0 {
		if v, ok := r.vals.C.IsConst(r.vals.C.Sub(goal, st.Regs[d])); ok && int64(v) == int64(int32(v)) {
			return isa.Insn{Op: isa.ALU(isa.FnAdd, 64, true), Dst: d, Imm: int64(v)}, true
		}
	}
	for _, row := range isa.Rows() {
		if row.Kind != isa.KindALU || int(row.MinCPU) > r.MCPU || expensive(row.Fn) {
			continue
		}
		if row.ReadsDst && st.Regs[d] == 0 {
			continue
		}
		switch {
		case row.ReadsSrc:
			for s := isa.R0; s < isa.FP; s++ {
				if st.Regs[s] != 0 && try(isa.Insn{Op: row.Op, Dst: d, Src: s}) {
					return isa.Insn{Op: row.Op, Dst: d, Src: s}, true
				}
			}
		case row.Imm && row.Fn != isa.FnNeg:
			for _, v := range imms {
				if shift(row.Fn) && (v < 0 || v >= int64(row.Width)) {
					continue // the kernel refuses those
				}
				if try(isa.Insn{Op: row.Op, Dst: d, Imm: v}) {
					return isa.Insn{Op: row.Op, Dst: d, Imm: v}, true
				}
			}
		default:
			if try(isa.Insn{Op: row.Op, Dst: d}) {
				return isa.Insn{Op: row.Op, Dst: d}, true
			}
		}
	}
	return isa.Insn{}, false
}

func shift(fn isa.Fn) bool { return fn == isa.FnLsh || fn == isa.FnRsh || fn == isa.FnArsh }

// expensive operations never replace others.
func expensive(fn isa.Fn) bool {
	switch fn {
	case isa.FnMul, isa.FnDiv, isa.FnMod, isa.FnSDiv, isa.FnSMod:
		return true
	}
	return false
}
