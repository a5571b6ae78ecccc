package pass

import (
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// demanded holds, for each register, the bits whose value may still matter.
type demanded [isa.NumRegs]uint64

const allBits = ^uint64(0)

// lowBits is a mask of the n lowest bits.
func lowBits(n uint8) uint64 {
	if n >= 64 {
		return allBits
	}
	return 1<<n - 1
}

// upTo is the mask of all bits at or below the highest bit of d: what a carry
// chain needs of its operands.
func upTo(d uint64) uint64 { return lowBits(uint8(bits.Len64(d))) }

// demand solves which bits matter after each instruction, backwards.
func (r *run) demand() []demanded {
	n := len(r.f.Insns)
	before, after := make([]demanded, n), make([]demanded, n)
	result := allBits
	if w := equiv.ResultWidth(r.f); w != 0 {
		result = lowBits(w)
	}
	for changed := true; changed; {
		changed = false
		for i := len(r.cfg.Order) - 1; i >= 0; i-- {
			b := r.cfg.Blocks[r.cfg.Order[i]]
			var d demanded
			for _, s := range b.Succs {
				for x, m := range before[r.cfg.Blocks[s].From] {
					d[x] |= m
				}
			}
			for k := b.To - 1; k >= b.From; k-- {
				after[k] = d
				d = r.throughMask(k, d, demandBefore(&r.f.Insns[k], d))
				if r.f.Insns[k].Row().Kind == isa.KindExit {
					d[isa.R0] = result
				}
				if d != before[k] {
					before[k] = d
					changed = true
				}
			}
		}
	}
	return after
}

// throughMask leaves out of the bits demanded before instruction k those that the
// other operand, as far as values tell, takes away.
func (r *run) throughMask(k int, after, before demanded) demanded {
	in := &r.f.Insns[k]
	row := in.Row()
	if r.vals == nil || row.Kind != isa.KindALU || row.Fn != isa.FnAnd || row.Imm || in.Frozen() || in.Dst == in.Src {
		return before
	}
	st := r.vals.Before[k]
	if st == nil || st.Regs[in.Dst] == 0 || st.Regs[in.Src] == 0 {
		return before
	}
	x, _ := r.vals.C.Known(st.Regs[in.Dst])
	y, _ := r.vals.C.Known(st.Regs[in.Src])
	want := after[in.Dst] & lowBits(row.Width)
	before[in.Dst] = want &^ y
	before[in.Src] = after[in.Src] | want&^(x&^y) // what both take away, one must
	return before
}

// demandBefore carries demanded bits backwards over an instruction.
func demandBefore(in *prog.Insn, d demanded) demanded {
	row := in.Row()
	switch {
	case row.Kind == isa.KindALU && !in.Frozen():
		return demandALU(in, d)
	case row.Kind == isa.KindStore && !row.Imm:
		d[in.Src] |= lowBits(row.Width)
		d[in.Dst] = allBits
		return d
	case row.Kind == isa.KindCondJump:
		m := lowBits(row.Width)
		if row.Imm && row.Fn == isa.FnJset {
			m &= uint64(in.Imm)
		}
		d[in.Dst] |= m
		if !row.Imm {
			d[in.Src] |= lowBits(row.Width)
		}
		return d
	}
	for x := isa.R0; x < isa.NumRegs; x++ {
		if in.Def().Has(x) {
			d[x] = 0
		}
	}
	for x := isa.R0; x < isa.NumRegs; x++ {
		if in.Use().Has(x) {
			d[x] = allBits
		}
	}
	return d
}

func demandALU(in *prog.Insn, d demanded) demanded {
	row := in.Row()
	w := lowBits(row.Width)
	want := d[in.Dst] & w
	d[in.Dst] = 0
	if want == 0 {
		return d
	}
	dst, src := w, w // what is needed of the operands
	switch row.Fn {
	case isa.FnMov:
		dst, src = 0, want
	case isa.FnMovSX:
		dst, src = 0, want&lowBits(row.Bits)
		if want&^lowBits(row.Bits) != 0 {
			src |= 1 << (row.Bits - 1)
		}
	case isa.FnAnd, isa.FnOr, isa.FnXor:
		dst, src = want, want
		if row.Imm && row.Fn == isa.FnAnd {
			dst &= uint64(in.Imm)
		} else if row.Imm && row.Fn == isa.FnOr {
			dst &^= uint64(in.Imm)
		}
	case isa.FnAdd, isa.FnSub, isa.FnMul, isa.FnNeg:
		dst, src = upTo(want), upTo(want)
	case isa.FnLsh, isa.FnRsh, isa.FnArsh:
		if !row.Imm {
			if src = uint64(row.Width - 1); row.Fn == isa.FnLsh {
				dst = upTo(want)
			}
			break
		}
		k := uint8(in.Imm) & (row.Width - 1)
		switch row.Fn {
		case isa.FnLsh:
			dst = want >> k
		case isa.FnRsh:
			dst = want << k & w
		default:
			dst = want << k & w
			if want>>(row.Width-1-k) != 0 {
				dst |= 1 << (row.Width - 1)
			}
		}
	}
	if row.ReadsDst {
		d[in.Dst] |= dst
	}
	if !row.Imm && row.ReadsSrc {
		d[in.Src] |= src
	}
	return d
}

// keeps is the mask of bits that an in-place instruction leaves as they are;
// zero for those that are no plain masks.
func keeps(in *prog.Insn) uint64 {
	row := in.Row()
	if row.Kind != isa.KindALU || in.Frozen() {
		return 0
	}
	switch {
	case row.Fn == isa.FnAnd && row.Imm && row.Width == 64:
		return uint64(in.Imm)
	case row.Fn == isa.FnAnd && row.Imm:
		return uint64(uint32(in.Imm))
	case row.Fn == isa.FnOr && row.Imm && row.Width == 64, row.Fn == isa.FnXor && row.Imm && row.Width == 64:
		return ^uint64(in.Imm)
	case row.Fn == isa.FnMov && !row.Imm && row.Width == 32 && in.Dst == in.Src:
		return lowBits(32)
	case row.Fn == isa.FnAdd && row.Imm && row.Width == 32 && in.Imm == 0:
		return lowBits(32)
	case row.Fn == isa.FnMovSX && in.Dst == in.Src:
		return lowBits(row.Bits)
	}
	return 0
}

// masks removes what only changes bits that nobody looks at, and loads no
// wider than needed where that makes such an instruction superfluous.
func masks(r *run) {
	after := r.demand()
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if !r.cfg.Reachable(k) || in.Frozen() {
			continue
		}
		d := after[k][in.Dst]
		if m := keeps(in); m != 0 && d&^m == 0 && r.ok(k, "only changes bits that do not matter: %s", text(in)) {
			r.nop(k)
			continue
		}
		row := in.Row()
		if row.Kind == isa.KindALU && row.Fn == isa.FnMov && row.Width == 32 && !row.Imm && d != 0 && d&^lowBits(32) == 0 && r.ok(k, "only bits of the lower half matter: %s", text(in)) {
			r.set(k, movReg(in.Dst, in.Src)) // a copy is not always needed
			continue
		}
		if row.Kind != isa.KindLoad || row.Signed || d == 0 {
			continue
		}
		for _, w := range []uint8{8, 16, 32} {
			if w >= row.Width || d&^lowBits(w) != 0 {
				continue
			}
			if r.masked(in.Dst, lowBits(w)) && r.ok(k, "only %d bits matter: %s", w, text(in)) {
				n := in.Insn
				n.Op = isa.Load(w, false)
				r.set(k, n)
			}
			break
		}
	}
}

// masked: some instruction cuts register x down to mask.
func (r *run) masked(x isa.Reg, mask uint64) bool {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		if in.Dst == x && keeps(in) == mask && row.Fn != isa.FnMovSX {
			return true
		}
		if row.Kind == isa.KindALU && row.Fn == isa.FnMov && !row.Imm && row.Width == 32 && in.Src == x && mask == lowBits(32) {
			return true
		}
	}
	return false
}
