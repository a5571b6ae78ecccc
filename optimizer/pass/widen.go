package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// widenStores lets a store to the stack cover the bytes above it too, where it
// would write there what is there already. A store of zeros before it then
// often has no use.
func widenStores(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		if row.Kind != isa.KindStore || row.Width == 64 || in.Frozen() || r.vals.Before[k] == nil {
			continue
		}
		at, exact, _ := r.stackAt(k, in.Dst, in.Off)
		v, known := r.stored(k)
		if !exact || !known {
			continue
		}
		for _, w := range []uint8{64, 32, 16} {
			if n, ok := r.widened(k, at, v, w); ok {
				if r.ok(k, "covers %d bytes: %s", w/8, text(in)) {
					r.set(k, n)
				}
				break
			}
		}
	}
}

// widened is store k as one of w bits, if that changes no byte more.
func (r *run) widened(k, at int, v smt.Term, w uint8) (isa.Insn, bool) {
	in, st, c := &r.f.Insns[k], r.vals.Before[k], r.vals.C
	old := in.Row().Width
	if w <= old || at%int(w/8) != 0 || at+int(w/8) > isa.StackSize {
		return isa.Insn{}, false
	}
	if r.vals.E.RegionOf(st.Regs[in.Dst]).Kind != symex.Stack {
		return isa.Insn{}, false
	}
	t := v
	for i := int(old / 8); i < int(w/8); i++ {
		if _, isConst := c.IsConst(r.vals.E.StackByte(st, at+i)); !isConst {
			return isa.Insn{}, false
		}
		t = c.Concat(r.vals.E.StackByte(st, at+i), t)
	}
	n := in.Insn
	n.Op = isa.Store(w, in.Row().Imm)
	if !in.Row().Imm {
		return n, r.low(st.Regs[in.Src], w) == t
	}
	x, ok := c.IsConst(t)
	if w == 32 {
		n.Imm = int64(int32(x))
	} else {
		n.Imm = int64(x)
	}
	return n, ok && n.Imm == int64(int32(n.Imm))
}
