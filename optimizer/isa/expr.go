package isa

// Expr is a term over the operands of an instruction: the meaning of a row.
// Widths are in bits; a boolean is one bit wide.
type Expr struct {
	Op      ExprOp
	W       uint8 // width of the result
	A, B, C *Expr
	K       uint64 // the constant, or the low bit of an extract
}

// ExprOp names a term's operation.
type ExprOp uint8

// Leaves, then operations. Division follows SMT-LIB; the rows guard its zero
// case. Shift amounts are guarded (masked) by the rows too.
const (
	ExprInvalid ExprOp = iota
	ExprDst            // 64-bit destination register before
	ExprSrc            // 64-bit source register before
	ExprImm            // the immediate, sign-extended to 64 bits
	ExprMem            // the memory operand's old value, W bits
	ExprR0             // R0 before
	ExprConst
	ExprAdd
	ExprSub
	ExprMul
	ExprUDiv
	ExprURem
	ExprSDiv
	ExprSRem
	ExprAnd
	ExprOr
	ExprXor
	ExprShl
	ExprLShr
	ExprAShr
	ExprNeg
	ExprBSwap
	ExprZExt
	ExprSExt
	ExprExtract // W bits of A from bit K
	ExprEq
	ExprUlt
	ExprUle
	ExprSlt
	ExprSle
	ExprNot // of a boolean
	ExprIte // if A then B else C
)

// Domain interprets terms over values of type T: uint64 for a machine, solver
// terms for a proof, abstract values for an analysis.
type Domain[T any] interface {
	// Leaf gives the value of ExprDst, ExprSrc, ExprImm, ExprR0 (64 bits) or
	// ExprMem (w bits).
	Leaf(op ExprOp, w uint8) T
	Const(v uint64, w uint8) T
	// Unary is Neg, BSwap, Not; argument and result are w bits wide.
	Unary(op ExprOp, w uint8, a T) T
	// Binary takes two values of width argW; comparisons give one bit.
	Binary(op ExprOp, argW uint8, a, b T) T
	ZExt(from, to uint8, a T) T
	SExt(from, to uint8, a T) T
	// Extract takes w bits of a (argW bits wide), from bit lo.
	Extract(argW uint8, lo uint64, w uint8, a T) T
	Ite(w uint8, c, a, b T) T
}

// Eval interprets e in d.
func Eval[T any](e *Expr, d Domain[T]) T {
	switch e.Op {
	case ExprDst, ExprSrc, ExprImm, ExprMem, ExprR0:
		return d.Leaf(e.Op, e.W)
	case ExprConst:
		return d.Const(e.K, e.W)
	case ExprNeg, ExprBSwap, ExprNot:
		return d.Unary(e.Op, e.W, Eval(e.A, d))
	case ExprZExt:
		return d.ZExt(e.A.W, e.W, Eval(e.A, d))
	case ExprSExt:
		return d.SExt(e.A.W, e.W, Eval(e.A, d))
	case ExprExtract:
		return d.Extract(e.A.W, e.K, e.W, Eval(e.A, d))
	case ExprIte:
		return d.Ite(e.W, Eval(e.A, d), Eval(e.B, d), Eval(e.C, d))
	}
	return d.Binary(e.Op, e.A.W, Eval(e.A, d), Eval(e.B, d))
}

var (
	eDst = &Expr{Op: ExprDst, W: 64}
	eSrc = &Expr{Op: ExprSrc, W: 64}
	eImm = &Expr{Op: ExprImm, W: 64}
	eR0  = &Expr{Op: ExprR0, W: 64}
)

func eMem(w uint8) *Expr             { return &Expr{Op: ExprMem, W: w} }
func eConst(k uint64, w uint8) *Expr { return &Expr{Op: ExprConst, W: w, K: k} }

func eBin(op ExprOp, a, b *Expr) *Expr {
	if a.W != b.W {
		panic("isa: operand widths differ")
	}
	w := a.W
	if op >= ExprEq && op <= ExprSle {
		w = 1
	}
	return &Expr{Op: op, W: w, A: a, B: b}
}

func eUn(op ExprOp, a *Expr) *Expr { return &Expr{Op: op, W: a.W, A: a} }

func eIte(c, a, b *Expr) *Expr { return &Expr{Op: ExprIte, W: a.W, A: c, B: a, C: b} }

func eLow(a *Expr, w uint8) *Expr {
	if a.W == w {
		return a
	}
	return &Expr{Op: ExprExtract, W: w, A: a}
}

func eZext(a *Expr, w uint8) *Expr {
	if a.W == w {
		return a
	}
	return &Expr{Op: ExprZExt, W: w, A: a}
}

func eSext(a *Expr, w uint8) *Expr {
	if a.W == w {
		return a
	}
	return &Expr{Op: ExprSExt, W: w, A: a}
}
