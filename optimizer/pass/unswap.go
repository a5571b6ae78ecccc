package pass

import (
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// unswap compares with constants in the order of the network instead of bringing a
// value into that of the machine first.
func unswap(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		st, n := r.vals.Before[k], swapWidth(in)
		if n == 0 || st == nil || st.Regs[in.Dst] == 0 || k+1 >= len(r.f.Insns) || r.cfg.BlockOf[k] != r.cfg.BlockOf[k+1] {
			continue
		}
		if zeros, _ := r.vals.C.Known(st.Regs[in.Dst]); n < 64 && ^zeros>>n != 0 {
			continue // the swap cuts off what is above
		}
		uses, ok := r.usesOf(k, in.Dst)
		if !ok {
			continue
		}
		edits := map[int]prog.Insn{}
		for _, u := range uses {
			x, ok := swappedTest(r.f.Insns[u], n)
			if ok = ok && (x.Row().Width == 64 || r.MCPU >= 3); !ok {
				edits = nil
				break
			}
			edits[u] = x
		}
		if len(edits) == 0 || !r.ok(k, "compared as it is: %s", text(in)) {
			continue
		}
		for u, x := range edits {
			r.g.Insns[u] = x
		}
		r.nop(k)
	}
}

// swappedTest is a comparison for equality with the constant's bytes, n bits of
// them, in the other order.
func swappedTest(in prog.Insn, n uint8) (prog.Insn, bool) {
	row := in.Row()
	if row.Kind != isa.KindCondJump || !row.Imm || !equality(row.Fn) || in.Frozen() || row.Width < n && n > 32 {
		return in, false
	}
	v := uint64(in.Imm)
	if row.Width == 32 {
		v = uint64(uint32(v))
	}
	if n < 64 && v>>n != 0 {
		return in, false
	}
	v = bits.ReverseBytes64(v) >> (64 - n)
	width := row.Width
	if int64(v) != int64(int32(v)) { // as a number of 64 bits it has its sign in the way
		width = 32
	}
	if v>>32 != 0 {
		return in, false
	}
	in.Insn = isa.Insn{Op: isa.CondJump(row.Fn, width, true), Dst: in.Dst, Imm: int64(int32(v))}
	return in, true
}

// swapWidth is how many bits of a register an instruction swaps in place, 0 if it does
// no such thing.
func swapWidth(in *prog.Insn) uint8 {
	if row := in.Row(); row.Kind == isa.KindALU && (row.Fn == isa.FnToBE || row.Fn == isa.FnBSwap) && !in.Frozen() {
		return row.Bits
	}
	return 0
}

// usesOf lists what reads x as instruction k leaves it. It fails where something
// reads x that may come from elsewhere.
func (r *run) usesOf(k int, x isa.Reg) (uses []int, ok bool) {
	at := map[int]bool{}
	work := []int{k}
	for len(work) > 0 {
		p := work[len(work)-1]
		work = work[:len(work)-1]
		if at[p] {
			if r.f.Insns[p].Use().Has(x) {
				uses = append(uses, p)
			}
			if r.f.Insns[p].Def().Has(x) {
				continue
			}
		}
		for _, q := range prog.Succs(r.f, p) {
			if q == k && r.live.Before[q].Has(x) || q == 0 {
				return nil, false
			}
			if r.live.Before[q].Has(x) && !at[q] {
				at[q] = true
				work = append(work, q)
			}
		}
	}
	for p := range at {
		for _, q := range r.predsOf(p) {
			if q != k && (!at[q] || r.f.Insns[q].Def().Has(x)) {
				return nil, false
			}
		}
	}
	return uses, true
}
