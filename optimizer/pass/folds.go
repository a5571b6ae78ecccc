package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// thrice, times a number of two halves of 16 bits, has their sum above bit 16, and
// above bit 32 once more with what that carries: the sum in ones' complement.
const thrice = 1<<32 | 1<<16 | 1

// folds computes the ones' complement sum of the halves of a checksum, of which only
// 16 bits matter, by a multiplication.
//
//	r2 = r1              r2 = r1
//	r2 >>= 16            r1 = 0x100010001 ll
//	r1 &= 65535          r2 *= r1
//	r1 += r2             r2 >>= 32
//	r2 = r1
//	r2 >>= 16
//	r2 += r1
func folds(r *run) {
	demand := r.demand()
	for _, b := range r.cfg.Order {
		blk := r.cfg.Blocks[b]
		for k := blk.From; k < blk.To; k++ {
			if demand[k][r.f.Insns[k].Dst]>>16 != 0 || !r.live.After[k].Has(r.f.Insns[k].Dst) {
				continue
			}
			if x, ok := r.fold(k, blk.From); ok && r.ok(k, "r%d times %#x has the sum of its halves: %s", x.of, uint64(thrice), text(&r.f.Insns[k])) {
				r.multiplyFold(x)
			}
		}
	}
}

// fold is code that adds two halves, and to that its carry.
type fold struct {
	shift, add  int // the upper half made, and added to the lower one
	copy, carry int // the sum copied, and its carry made
	root        int // the carry added
	of, other   isa.Reg
	zext        bool // nothing is above the halves
}

// fold finds what instruction k, in the block that starts at from, is the last of.
func (r *run) fold(k, from int) (x fold, ok bool) {
	root := &r.f.Insns[k]
	if !adds(root) {
		return x, false
	}
	for _, sum := range []isa.Reg{root.Dst, root.Src} {
		second := root.Dst + root.Src - sum
		x = fold{root: k, carry: r.setIn(from, k, second), add: r.setIn(from, k, sum)}
		if x.carry < 0 || x.add < 0 {
			continue
		}
		if halfDown(&r.f.Insns[x.carry]) {
			x.copy = r.setIn(from, x.carry, second)
		} else { // the copy stays, the sum is shifted
			x.carry, x.copy = x.add, x.carry
			x.add = r.setIn(from, x.carry, sum)
		}
		if x.add < 0 || x.copy < x.add || x.carry < x.copy || !halfDown(&r.f.Insns[x.carry]) ||
			!adds(&r.f.Insns[x.add]) || !copies(&r.f.Insns[x.copy]) || r.f.Insns[x.copy].Src != sum {
			continue
		}
		add := &r.f.Insns[x.add]
		for _, upper := range []isa.Reg{add.Dst, add.Src} {
			x.of, x.other = upper, add.Dst+add.Src-upper
			if x.shift = r.setIn(from, x.add, upper); x.shift >= 0 && r.halves(&x) && r.alone(&x, sum, second) {
				return x, true
			}
		}
	}
	return x, false
}

// adds, halfDown and copies: what instructions of a fold do.
func adds(in *prog.Insn) bool {
	return joins(in) && in.Row().Fn == isa.FnAdd
}

func halfDown(in *prog.Insn) bool { return shiftsBy(in, isa.FnRsh) && in.Imm == 16 }

func copies(in *prog.Insn) bool {
	row := in.Row()
	return row.Kind == isa.KindALU && row.Fn == isa.FnMov && !row.Imm && !in.Frozen()
}

// halves: both halves of what is shifted are added, each with nothing above it.
func (r *run) halves(x *fold) bool {
	c, st := r.vals.C, r.vals.Before[x.add]
	if st == nil || r.vals.Before[x.shift] == nil || !halfDown(&r.f.Insns[x.shift]) {
		return false
	}
	v := r.vals.Before[x.shift].Regs[x.of]
	if v == 0 || c.ZExt(c.Extract(v, 16, 16), 64) != st.Regs[x.of] || c.ZExt(c.Extract(v, 0, 16), 64) != st.Regs[x.other] {
		return false
	}
	x.zext = r.high(v)
	return x.zext || r.MCPU >= 3
}

// alone: nothing else reads what the fold computes on the way, or needs its registers.
// The sum has a copy in second.
func (r *run) alone(x *fold, sum, second isa.Reg) bool {
	d := r.f.Insns[x.root].Dst
	for _, y := range []isa.Reg{x.of, x.other, sum, second} {
		if (y == x.of || y == x.other) && y != sum && r.live.After[x.add].Has(y) || y != d && r.live.After[x.root].Has(y) {
			return false
		}
	}
	for k := x.shift + 1; k < x.root; k++ {
		in := &r.f.Insns[k]
		touched := in.Use() | in.Def()
		switch {
		case k == x.add || k == x.copy || k == x.carry:
		case k < x.add && touched.Has(x.of),
			k > x.add && (touched.Has(x.of) || touched.Has(x.other) || touched.Has(sum)),
			k > x.copy && touched.Has(second):
			return false
		}
	}
	return true
}

// multiplyFold replaces a fold.
func (r *run) multiplyFold(x fold) {
	r.nop(x.shift)
	r.nop(x.copy)
	r.nop(x.carry)
	code := []prog.Insn{
		r.at(x.add, isa.Insn{Op: isa.LoadImm, Dst: x.other, Imm: thrice}),
		r.at(x.add, isa.Insn{Op: isa.ALU(isa.FnMul, 64, false), Dst: x.of, Src: x.other}),
		r.at(x.add, isa.Insn{Op: isa.ALU(isa.FnRsh, 64, true), Dst: x.of, Imm: 32}),
	}
	if !x.zext {
		r.set(x.shift, isa.Insn{Op: isa.ALU(isa.FnMov, 32, false), Dst: x.of, Src: x.of})
	}
	r.replaceLater(x.add, code...)
	if d := r.f.Insns[x.root].Dst; d != x.of {
		r.set(x.root, movReg(d, x.of))
	} else {
		r.nop(x.root)
	}
}
