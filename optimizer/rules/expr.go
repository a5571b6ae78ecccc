package rules

import (
	"fmt"
	"go/ast"
	"go/token"
	"strconv"

	"github.com/superbpf/superbpf/optimizer/slice"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// expr is an expression over a rule's immediates, in Go's syntax, over 64-bit
// numbers. Comparisons give 1 or 0; orders are signed.
type expr struct {
	text string
	ast  ast.Expr
}

// number interprets expressions: as numbers or as solver terms.
type number[T any] interface {
	konst(v int64) T
	variable(i int) (T, error)
	unary(op token.Token, a T) (T, error)
	binary(op token.Token, a, b T) (T, error)
}

func eval[T any](e ast.Expr, n number[T]) (T, error) {
	var zero T
	switch x := e.(type) {
	case *ast.ParenExpr:
		return eval(x.X, n)
	case *ast.BasicLit:
		v, err := slice.Number(x)
		return n.konst(v), err
	case *ast.Ident:
		if len(x.Name) > 1 && x.Name[0] == 'c' {
			if i, err := strconv.ParseUint(x.Name[1:], 10, 4); err == nil {
				return n.variable(int(i))
			}
		}
	case *ast.UnaryExpr:
		a, err := eval(x.X, n)
		if err != nil {
			return zero, err
		}
		return n.unary(x.Op, a)
	case *ast.BinaryExpr:
		a, err := eval(x.X, n)
		if err != nil {
			return zero, err
		}
		b, err := eval(x.Y, n)
		if err != nil {
			return zero, err
		}
		return n.binary(x.Op, a, b)
	case *ast.CallExpr:
		if f, ok := x.Fun.(*ast.Ident); ok && len(x.Args) == 1 {
			a, err := eval(x.Args[0], n)
			if err != nil {
				return zero, err
			}
			one := n.konst(1)
			var low T
			switch f.Name {
			case "pow2": // one bit set
				low, err = n.binary(token.SUB, a, one)
			case "mask": // low bits set, at least one
				low, err = n.binary(token.ADD, a, one)
			case "low32": // the lower half, sign-extended
				if a, err = n.binary(token.SHL, a, n.konst(32)); err != nil {
					return zero, err
				}
				return n.binary(token.SHR, a, n.konst(32))
			default:
				return zero, fmt.Errorf("no function %q", f.Name)
			}
			if err != nil {
				return zero, err
			}
			both, err := n.binary(token.AND, a, low)
			if err != nil {
				return zero, err
			}
			none, err := n.binary(token.EQL, both, n.konst(0))
			if err != nil {
				return zero, err
			}
			some, err := n.binary(token.NEQ, a, n.konst(0))
			if err != nil {
				return zero, err
			}
			return n.binary(token.AND, none, some)
		}
	}
	return zero, fmt.Errorf("not an expression of immediates")
}

// values are the numbers that a match bound; nil: unbound.
type values []*int64

func (v values) konst(x int64) int64 { return x }

func (v values) variable(i int) (int64, error) {
	if i >= len(v) || v[i] == nil {
		return 0, fmt.Errorf("c%d is not bound", i)
	}
	return *v[i], nil
}

func (v values) unary(op token.Token, a int64) (int64, error) {
	switch op {
	case token.SUB:
		return -a, nil
	case token.XOR:
		return ^a, nil
	}
	return 0, fmt.Errorf("no operator %v", op)
}

func (v values) binary(op token.Token, a, b int64) (int64, error) {
	truth := func(c bool) (int64, error) {
		if c {
			return 1, nil
		}
		return 0, nil
	}
	switch op {
	case token.ADD:
		return a + b, nil
	case token.SUB:
		return a - b, nil
	case token.AND:
		return a & b, nil
	case token.OR:
		return a | b, nil
	case token.XOR:
		return a ^ b, nil
	case token.SHL:
		return a << (uint64(b) & 63), nil
	case token.SHR:
		return a >> (uint64(b) & 63), nil
	case token.EQL:
		return truth(a == b)
	case token.NEQ:
		return truth(a != b)
	case token.LSS:
		return truth(a < b)
	case token.LEQ:
		return truth(a <= b)
	case token.GTR:
		return truth(a > b)
	case token.GEQ:
		return truth(a >= b)
	}
	return 0, fmt.Errorf("no operator %v", op)
}

// symbols are solver terms for the immediates.
type symbols struct {
	c *smt.Ctx
	v []smt.Term
}

func (s symbols) konst(x int64) smt.Term { return s.c.Const(uint64(x), 64) }

func (s symbols) variable(i int) (smt.Term, error) {
	if i >= len(s.v) {
		return 0, fmt.Errorf("c%d is not bound", i)
	}
	return s.v[i], nil
}

func (s symbols) unary(op token.Token, a smt.Term) (smt.Term, error) {
	switch op {
	case token.SUB:
		return s.c.Neg(a), nil
	case token.XOR:
		return s.c.Not(a), nil
	}
	return 0, fmt.Errorf("no operator %v", op)
}

func (s symbols) binary(op token.Token, a, b smt.Term) (smt.Term, error) {
	c := s.c
	amount := func() smt.Term { return c.And(b, c.Const(63, 64)) }
	truth := func(t smt.Term) (smt.Term, error) { return c.ZExt(t, 64), nil }
	switch op {
	case token.ADD:
		return c.Add(a, b), nil
	case token.SUB:
		return c.Sub(a, b), nil
	case token.AND:
		return c.And(a, b), nil
	case token.OR:
		return c.Or(a, b), nil
	case token.XOR:
		return c.Xor(a, b), nil
	case token.SHL:
		return c.Shl(a, amount()), nil
	case token.SHR:
		return c.AShr(a, amount()), nil
	case token.EQL:
		return truth(c.Eq(a, b))
	case token.NEQ:
		return truth(c.Ne(a, b))
	case token.LSS:
		return truth(c.Slt(a, b))
	case token.LEQ:
		return truth(c.Sle(a, b))
	case token.GTR:
		return truth(c.Slt(b, a))
	case token.GEQ:
		return truth(c.Sle(b, a))
	}
	return 0, fmt.Errorf("no operator %v", op)
}

// lowBits is a mask of n low bits.
func lowBits(n int) uint64 {
	if n >= 64 {
		return ^uint64(0)
	}
	return 1<<n - 1
}
