package environ

import (
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/isa"
)

var _ isa.Domain[uint64] = (*Machine)(nil)

func low(v uint64, w uint8) uint64 {
	if w >= 64 {
		return v
	}
	return v & (1<<w - 1)
}

func signed(v uint64, w uint8) int64 { return int64(v<<(64-w)) >> (64 - w) }

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

// Const implements isa.Domain.
func (m *Machine) Const(v uint64, _ uint8) uint64 { return v }

// Unary implements isa.Domain.
func (m *Machine) Unary(op isa.ExprOp, w uint8, a uint64) uint64 {
	switch op {
	case isa.ExprNeg:
		return low(-a, w)
	case isa.ExprBSwap:
		return bits.ReverseBytes64(a) >> (64 - w)
	}
	return low(^a, w)
}

// Binary implements isa.Domain.
func (m *Machine) Binary(op isa.ExprOp, w uint8, a, b uint64) uint64 {
	switch op {
	case isa.ExprAdd:
		return low(a+b, w)
	case isa.ExprSub:
		return low(a-b, w)
	case isa.ExprMul:
		return low(a*b, w)
	case isa.ExprUDiv, isa.ExprURem, isa.ExprSDiv, isa.ExprSRem:
		return low(divide(op, w, a, b), w)
	case isa.ExprAnd:
		return a & b
	case isa.ExprOr:
		return a | b
	case isa.ExprXor:
		return a ^ b
	case isa.ExprShl:
		return low(a<<b, w)
	case isa.ExprLShr:
		return a >> b
	case isa.ExprAShr:
		return low(uint64(signed(a, w)>>b), w)
	case isa.ExprEq:
		return truth(a == b)
	case isa.ExprUlt:
		return truth(a < b)
	case isa.ExprUle:
		return truth(a <= b)
	case isa.ExprSlt:
		return truth(signed(a, w) < signed(b, w))
	case isa.ExprSle:
		return truth(signed(a, w) <= signed(b, w))
	}
	panic("environ: not a binary operation")
}

// divide: the rows ask for a quotient by zero, or of the most negative number
// by -1, only where they do not use it.
func divide(op isa.ExprOp, w uint8, a, b uint64) uint64 {
	switch {
	case b == 0:
		return 0
	case op == isa.ExprUDiv:
		return a / b
	case op == isa.ExprURem:
		return a % b
	case signed(b, w) == -1:
		return 0
	case op == isa.ExprSDiv:
		return uint64(signed(a, w) / signed(b, w))
	}
	return uint64(signed(a, w) % signed(b, w))
}

// ZExt implements isa.Domain.
func (m *Machine) ZExt(_, _ uint8, a uint64) uint64 { return a }

// SExt implements isa.Domain.
func (m *Machine) SExt(from, to uint8, a uint64) uint64 { return low(uint64(signed(a, from)), to) }

// Extract implements isa.Domain.
func (m *Machine) Extract(_ uint8, lo uint64, w uint8, a uint64) uint64 { return low(a>>lo, w) }

// Ite implements isa.Domain.
func (m *Machine) Ite(_ uint8, c, a, b uint64) uint64 {
	if c == 1 {
		return a
	}
	return b
}
