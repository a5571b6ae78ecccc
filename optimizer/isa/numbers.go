package isa

import "math/bits"

// Numbers is the Domain of plain numbers but for Leaf: a value of w bits is a number
// below 2^w. Whoever has operands embeds it.
type Numbers struct{}

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

// Const implements Domain.
func (Numbers) Const(v uint64, _ uint8) uint64 { return v }

// Unary implements Domain.
func (Numbers) Unary(op ExprOp, w uint8, a uint64) uint64 {
	switch op {
	case ExprNeg:
		return low(-a, w)
	case ExprBSwap:
		return bits.ReverseBytes64(a) >> (64 - w)
	}
	return low(^a, w)
}

// Binary implements Domain.
func (Numbers) Binary(op ExprOp, w uint8, a, b uint64) uint64 {
	switch op {
	case ExprAdd:
		return low(a+b, w)
	case ExprSub:
		return low(a-b, w)
	case ExprMul:
		return low(a*b, w)
	case ExprUDiv, ExprURem, ExprSDiv, ExprSRem:
		return low(divide(op, w, a, b), w)
	case ExprAnd:
		return a & b
	case ExprOr:
		return a | b
	case ExprXor:
		return a ^ b
	case ExprShl:
		return low(a<<b, w)
	case ExprLShr:
		return a >> b
	case ExprAShr:
		return low(uint64(signed(a, w)>>b), w)
	case ExprEq:
		return truth(a == b)
	case ExprUlt:
		return truth(a < b)
	case ExprUle:
		return truth(a <= b)
	case ExprSlt:
		return truth(signed(a, w) < signed(b, w))
	case ExprSle:
		return truth(signed(a, w) <= signed(b, w))
	}
	panic("isa: not a binary operation")
}

// divide: the rows ask for a quotient by zero, or of the most negative number
// by -1, only where they do not use it.
func divide(op ExprOp, w uint8, a, b uint64) uint64 {
	switch {
	case b == 0:
		return 0
	case op == ExprUDiv:
		return a / b
	case op == ExprURem:
		return a % b
	case signed(b, w) == -1:
		return 0
	case op == ExprSDiv:
		return uint64(signed(a, w) / signed(b, w))
	}
	return uint64(signed(a, w) % signed(b, w))
}

// ZExt implements Domain.
func (Numbers) ZExt(_, _ uint8, a uint64) uint64 { return a }

// SExt implements Domain.
func (Numbers) SExt(from, to uint8, a uint64) uint64 { return low(uint64(signed(a, from)), to) }

// Extract implements Domain.
func (Numbers) Extract(_ uint8, lo uint64, w uint8, a uint64) uint64 { return low(a>>lo, w) }

// Ite implements Domain.
func (Numbers) Ite(_ uint8, c, a, b uint64) uint64 {
	if c == 1 {
		return a
	}
	return b
}
