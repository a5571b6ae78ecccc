package absint

import (
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// operands is the isa.Domain of sets of numbers for one instruction.
type operands struct{ dst, src, imm, mem, r0 Num }

var _ isa.Domain[Num] = (*operands)(nil)

func (o *operands) Leaf(op isa.ExprOp, w uint8) Num {
	n := Full(w)
	switch op {
	case isa.ExprDst:
		n = o.dst
	case isa.ExprSrc:
		n = o.src
	case isa.ExprImm:
		n = o.imm
	case isa.ExprMem:
		n = o.mem
	case isa.ExprR0:
		n = o.r0
	}
	if n.W != w {
		return Full(w)
	}
	return n
}

func (o *operands) Const(v uint64, w uint8) Num { return Const(v, w) }

func (o *operands) Unary(op isa.ExprOp, w uint8, a Num) Num {
	if a.Empty() {
		return a
	}
	switch op {
	case isa.ExprNeg:
		return binary(isa.ExprSub, w, Const(0, w), a)
	case isa.ExprBSwap:
		n := Full(w)
		n.T = Tnum{bits.ReverseBytes64(a.T.V) >> (64 - w), bits.ReverseBytes64(a.T.M) >> (64 - w)}
		return n.norm()
	}
	return binary(isa.ExprXor, 1, a, Const(1, 1))
}

func (o *operands) Binary(op isa.ExprOp, w uint8, a, b Num) Num { return binary(op, w, a, b) }

func (o *operands) ZExt(_, to uint8, a Num) Num { return zext(a, to) }

func zext(a Num, to uint8) Num {
	if a.Empty() {
		return empty(to)
	}
	n := Full(to)
	n.T, n.UMin, n.UMax = a.T, a.UMin, a.UMax
	if to == 64 && a.W == 32 {
		n.Low = a.Range
	}
	return n.norm()
}

func (o *operands) SExt(from, to uint8, a Num) Num {
	if a.Empty() {
		return empty(to)
	}
	n := Full(to)
	n.T = Tnum{M: uint64(sext(a.T.M, from)) & mask(to)}
	n.T.V = uint64(sext(a.T.V, from)) & mask(to) &^ n.T.M
	n.SMin, n.SMax = a.SMin, a.SMax
	return n.norm()
}

func (o *operands) Extract(_ uint8, lo uint64, w uint8, a Num) Num { return extract(a, lo, w) }

func extract(a Num, lo uint64, w uint8) Num {
	if a.Empty() {
		return empty(w)
	}
	if lo == 0 && w == 32 && a.W == 64 {
		return a.low()
	}
	if lo != 0 {
		a = core(isa.ExprLShr, a.W, a, Const(lo, a.W))
	}
	if w == a.W {
		return a
	}
	if a.W == 64 && w < 32 {
		a = a.low()
	}
	n := Full(w)
	n.T = Tnum{a.T.V & mask(w), a.T.M & mask(w)}
	if a.UMin>>w == a.UMax>>w {
		n.UMin, n.UMax = a.UMin&mask(w), a.UMax&mask(w)
	}
	if sext(uint64(a.SMin), w) == a.SMin && sext(uint64(a.SMax), w) == a.SMax {
		n.SMin, n.SMax = a.SMin, a.SMax
	}
	return n.norm()
}

func (o *operands) Ite(w uint8, c, a, b Num) Num {
	switch v, ok := c.IsConst(); {
	case c.Empty():
		return empty(w)
	case ok && v == 1:
		return a
	case ok:
		return b
	}
	return a.Join(b)
}
