package environ

import "github.com/superbpf/superbpf/optimizer/isa"

var _ isa.Domain[uint64] = (*Machine)(nil)

func low(v uint64, w uint8) uint64 {
	if w >= 64 {
		return v
	}
	return v & (1<<w - 1)
}

func truth(t bool) uint64 {
	if t {
		return 1
	}
	return 0
}

// Leaf implements isa.Domain.
func (m *Machine) Leaf(op isa.ExprOp, _ uint8) uint64 {
	switch op {
	case isa.ExprDst:
		return m.regs[m.in.Dst]
	case isa.ExprSrc:
		return m.regs[m.in.Src]
	case isa.ExprImm:
		return uint64(m.in.Imm)
	case isa.ExprR0:
		return m.regs[isa.R0]
	}
	return m.old
}
