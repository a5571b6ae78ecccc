package symex

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// operands is the isa.Domain of solver terms for one instruction.
type operands struct {
	c                  *smt.Ctx
	dst, src, imm, mem smt.Term
	r0                 smt.Term
	missing            bool
}

var _ isa.Domain[smt.Term] = (*operands)(nil)

func (o *operands) Leaf(op isa.ExprOp, w uint8) smt.Term {
	var t smt.Term
	switch op {
	case isa.ExprDst:
		t = o.dst
	case isa.ExprSrc:
		t = o.src
	case isa.ExprImm:
		t = o.imm
	case isa.ExprMem:
		t = o.mem
	case isa.ExprR0:
		t = o.r0
	}
	if t == 0 {
		o.missing = true
		return o.c.Const(0, w)
	}
	return t
}

func (o *operands) Const(v uint64, w uint8) smt.Term { return o.c.Const(v, w) }

func (o *operands) Unary(op isa.ExprOp, _ uint8, a smt.Term) smt.Term {
	switch op {
	case isa.ExprNeg:
		return o.c.Neg(a)
	case isa.ExprBSwap:
		return o.c.BSwap(a)
	}
	return o.c.Not(a)
}

func (o *operands) Binary(op isa.ExprOp, _ uint8, a, b smt.Term) smt.Term {
	c := o.c
	switch op {
	case isa.ExprAdd:
		return c.Add(a, b)
	case isa.ExprSub:
		return c.Sub(a, b)
	case isa.ExprMul:
		return c.Mul(a, b)
	case isa.ExprUDiv:
		return c.UDiv(a, b)
	case isa.ExprURem:
		return c.URem(a, b)
	case isa.ExprSDiv:
		return c.SDiv(a, b)
	case isa.ExprSRem:
		return c.SRem(a, b)
	case isa.ExprAnd:
		return c.And(a, b)
	case isa.ExprOr:
		return c.Or(a, b)
	case isa.ExprXor:
		return c.Xor(a, b)
	case isa.ExprShl:
		return c.Shl(a, b)
	case isa.ExprLShr:
		return c.LShr(a, b)
	case isa.ExprAShr:
		return c.AShr(a, b)
	case isa.ExprEq:
		return c.Eq(a, b)
	case isa.ExprUlt:
		return c.Ult(a, b)
	case isa.ExprUle:
		return c.Ule(a, b)
	case isa.ExprSlt:
		return c.Slt(a, b)
	case isa.ExprSle:
		return c.Sle(a, b)
	}
	panic("symex: not a binary operation")
}

func (o *operands) ZExt(_, to uint8, a smt.Term) smt.Term { return o.c.ZExt(a, to) }
func (o *operands) SExt(_, to uint8, a smt.Term) smt.Term { return o.c.SExt(a, to) }

func (o *operands) Extract(_ uint8, lo uint64, w uint8, a smt.Term) smt.Term {
	return o.c.Extract(a, uint8(lo), w)
}

func (o *operands) Ite(_ uint8, c, a, b smt.Term) smt.Term { return o.c.Ite(c, a, b) }

// Term gives the meaning of an instruction row's term e on the operands; c and
// all operands are of one context, 64 bits wide.
func Term(c *smt.Ctx, e *isa.Expr, dst, src, imm smt.Term) smt.Term {
	return isa.Eval[smt.Term](e, &operands{c: c, dst: dst, src: src, imm: imm})
}
