package smt

import (
	"fmt"

	"strings"
)

// Assignment gives variables (and applications of uninterpreted functions)
// their values.
type Assignment map[Term]uint64

// Eval computes t. Leaves that the assignment lacks are 0. Tokens have no
// value and give 0.
func (c *Ctx) Eval(t Term, a Assignment) uint64 {
	memo := make(map[Term]uint64)
	return c.eval(t, a, memo)
}

func (c *Ctx) eval(t Term, as Assignment, memo map[Term]uint64) uint64 {
	n := c.Node(t)
	switch n.Op {
	case OpConst:
		return n.K
	case OpVar, OpUF:
		return as[t] & mask(n.Width)
	}
	if v, ok := memo[t]; ok {
		return v
	}
	var few [4]uint64
	x := few[:0]
	for _, a := range n.Args {
		x = append(x, c.eval(a, as, memo))
	}
	v := c.apply(n, x)
	memo[t] = v
	return v
}

// apply computes n on the values of its arguments.
func (c *Ctx) apply(n *Node, x []uint64) uint64 {
	aw := c.Width(n.Args[0])
	var v uint64
	switch n.Op {
	case OpSum:
		v = n.K
		for i := range n.Args {
			v += n.Coef[i] * x[i]
		}
	case OpMul:
		v = x[0] * x[1]
	case OpUDiv:
		if d := x[1]; d == 0 {
			v = mask(n.Width)
		} else {
			v = x[0] / d
		}
	case OpURem:
		if d := x[1]; d == 0 {
			v = x[0]
		} else {
			v = x[0] % d
		}
	case OpSDiv:
		v = sdiv(x[0], x[1], n.Width)
	case OpSRem:
		v = srem(x[0], x[1], n.Width)
	case OpAnd, OpOr, OpXor:
		v = x[0]
		for i := 1; i < len(n.Args); i++ {
			v = fold(n.Op, v, x[i])
		}
	case OpNot:
		v = ^x[0]
	case OpShl:
		if k := x[1]; k < uint64(n.Width) {
			v = x[0] << k
		}
	case OpLShr:
		if k := x[1]; k < uint64(n.Width) {
			v = x[0] >> k
		}
	case OpAShr:
		v = uint64(signed(x[0], n.Width) >> min(x[1], 63))
	case OpConcat:
		v = x[0]<<c.Width(n.Args[1]) | x[1]
	case OpExtract:
		v = x[0] >> n.K
	case OpSExt:
		v = uint64(signed(x[0], aw))
	case OpEq:
		v = truth(x[0] == x[1])
	case OpUlt:
		v = truth(x[0] < x[1])
	case OpSlt:
		v = truth(signed(x[0], aw) < signed(x[1], aw))
	case OpIte:
		if x[0] == 1 {
			v = x[1]
		} else {
			v = x[2]
		}
	}
	return v & mask(n.Width)
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// Relevant picks the conditions that share a leaf with t, at most n, the last
// ones first.
func (c *Ctx) Relevant(t Term, conds []Term, n int) []Term {
	leaves := map[Term]bool{}
	for _, l := range c.Leaves(t) {
		leaves[l] = true
	}
	var out []Term
	for i := len(conds) - 1; i >= 0 && len(out) < n; i-- {
		for _, l := range c.Leaves(conds[i]) {
			if leaves[l] {
				out = append(out, conds[i])
				break
			}
		}
	}
	return out
}

// Leaves appends the variables and function applications that ts depend on,
// each once, in a fixed order. The arguments of an application are not
// entered: a solver sees the application as a variable.
func (c *Ctx) Leaves(ts ...Term) []Term {
	var out []Term
	seen := map[Term]bool{}
	var walk func(t Term)
	walk = func(t Term) {
		if seen[t] {
			return
		}
		seen[t] = true
		n := c.Node(t)
		switch n.Op {
		case OpConst:
		case OpVar, OpUF:
			if n.Width > 0 {
				out = append(out, t)
			}
		default:
			for _, a := range n.Args {
				walk(a)
			}
		}
	}
	for _, t := range ts {
		walk(t)
	}
	return out
}

var opNames = [...]string{OpMul: "bvmul", OpUDiv: "bvudiv", OpURem: "bvurem", OpSDiv: "bvsdiv", OpSRem: "bvsrem",
	OpAnd: "bvand", OpOr: "bvor", OpXor: "bvxor", OpNot: "bvnot", OpShl: "bvshl", OpLShr: "bvlshr", OpAShr: "bvashr",
	OpConcat: "concat", OpUlt: "bvult", OpSlt: "bvslt", OpEq: "="}

// maxText bounds a rendering, roughly: shared terms grow without end when they
// are written out.
const maxText = 2000

// String renders t for people, sharing expanded, up to a depth and a length.
func (c *Ctx) String(t Term) string {
	var b strings.Builder
	c.render(&b, t, 12)
	return b.String()
}

func (c *Ctx) render(b *strings.Builder, t Term, depth int) {
	n := c.Node(t)
	switch n.Op {
	case OpInvalid:
		b.WriteString("invalid")
		return
	case OpConst:
		fmt.Fprintf(b, "%#x:%d", n.K, n.Width)
		return
	case OpVar:
		b.WriteString(n.Name)
		return
	}
	if depth == 0 || b.Len() > maxText {
		b.WriteString("...")
		return
	}
	name := ""
	switch n.Op {
	case OpUF:
		name = n.Name
	case OpSum:
		name = fmt.Sprintf("sum %#x", n.K)
	case OpExtract:
		name = fmt.Sprintf("bits[%d:%d]", n.K+uint64(n.Width)-1, n.K)
	case OpSExt:
		name = fmt.Sprintf("sext%d", n.Width)
	case OpIte:
		name = "ite"
	default:
		name = opNames[n.Op]
	}
	b.WriteString("(" + name)
	for i, a := range n.Args {
		if b.Len() > maxText {
			break
		}
		b.WriteByte(' ')
		if n.Op == OpSum && n.Coef[i] != 1 {
			fmt.Fprintf(b, "%d*", signed(n.Coef[i], n.Width))
		}
		c.render(b, a, depth-1)
	}
	b.WriteByte(')')
}
