package smt

import (
	"cmp"
	"math/bits"
	"slices"
)

type summand struct {
	t Term
	k uint64
}

// twice, times a number of 32 bits, puts the number beside itself.
const twice = 1<<32 | 1

// summands splits t into a constant and terms with coefficients.
func (c *Ctx) summands(t Term, k uint64, list []summand, konst *uint64) []summand {
	n := c.Node(t)
	switch n.Op {
	case OpConst:
		*konst += k * n.K
		return list
	case OpSum:
		*konst += k * n.K
		for i, a := range n.Args {
			list = append(list, summand{a, k * n.Coef[i]})
		}
		return list
	case OpNot:
		*konst -= k
		return c.summands(n.Args[0], -k, list, konst)
	case OpOr:
		// The reverse of disjointSum.
		if c.disjoint(n.Args) {
			for _, a := range n.Args {
				list = c.summands(a, k, list, konst)
			}
			return list
		}
	case OpConcat:
		if v := c.Node(t).ones & c.constBits(t, 0); v != 0 {
			*konst += k * v
			return c.summands(c.And(t, c.Const(^v, n.Width)), k, list, konst)
		}
		// The reverse of disjointSum.
		if n.Width == 64 {
			if half := c.Extract(t, 0, 32); half == c.Extract(t, 32, 32) {
				return c.summands(c.ZExt(half, 64), k*twice, list, konst)
			}
		}
		last := n.Args[1]
		for c.Node(last).Op == OpConcat {
			last = c.Node(last).Args[1]
		}
		// y followed by z zero bits is 2^z times a term.
		if lo := c.Node(last); lo.Op == OpConst {
			y := c.Extract(t, lo.Width, n.Width-lo.Width)
			if yn := c.Node(y); yn.Op == OpExtract && yn.K == 0 && c.Width(yn.Args[0]) == n.Width {
				y = yn.Args[0]
			} else {
				y = c.ZExt(y, n.Width)
			}
			return c.summands(y, k<<lo.Width, list, konst)
		}
	}
	return append(list, summand{t, k})
}

// merge adds up the coefficients of each term, of w bits.
func merge(w uint8, list []summand) []summand {
	slices.SortFunc(list, func(a, b summand) int { return cmp.Compare(a.t, b.t) })
	out := list[:0]
	for _, s := range list {
		if len(out) > 0 && out[len(out)-1].t == s.t {
			out[len(out)-1].k += s.k
		} else {
			out = append(out, s)
		}
	}
	return slices.DeleteFunc(out, func(s summand) bool { return s.k&mask(w) == 0 })
}

// sum builds the normal form of a linear combination.
func (c *Ctx) sum(w uint8, konst uint64, list []summand) Term {
	m := mask(w)
	list = merge(w, list)
	if len(list) > 1 {
		list = c.remainders(w, &konst, list)
	}
	konst &= m
	if len(list) == 0 {
		return c.Const(konst, w)
	}
	if len(list) == 1 {
		s := list[0]
		switch k := s.k & m; {
		case konst == 0 && k&(k-1) == 0:
			return c.shlConst(s.t, uint8(bits.TrailingZeros64(k)))
		case konst == m && k == m:
			return c.Not(s.t)
		}
	}
	if t, ok := c.disjointSum(w, konst, list); ok {
		return t
	}
	n := Node{Op: OpSum, Width: w, K: konst, Coef: c.room[:0]}
	args := make([]Term, 0, 4)
	for _, s := range list {
		args = append(args, s.t)
		n.Coef = append(n.Coef, s.k&m)
	}
	c.room = n.Coef
	return c.intern(n, args...)
}

// disjoint reports whether no two of the terms can have the same bit set.
func (c *Ctx) disjoint(ts []Term) bool {
	var used uint64
	for _, t := range ts {
		may := ^c.Node(t).zeros & mask(c.Width(t))
		if may&used != 0 {
			return false
		}
		used |= may
	}
	return true
}

// disjointSum turns a sum whose summands share no bits into an or.
func (c *Ctx) disjointSum(w uint8, konst uint64, list []summand) (Term, bool) {
	if len(list) == 1 && konst == 0 && w == 64 && list[0].k == twice && c.Node(list[0].t).zeros>>32 == mask(32) {
		half := c.Extract(list[0].t, 0, 32)
		return c.Concat(half, half), true
	}
	used := konst
	for _, s := range list {
		k := s.k & mask(w)
		if k&(k-1) != 0 {
			return 0, false
		}
		z := uint8(bits.TrailingZeros64(k))
		may := ^c.Node(s.t).zeros << z & mask(w)
		if may&used != 0 {
			return 0, false
		}
		used |= may
	}
	t := c.Const(konst, w)
	for _, s := range list {
		t = c.Or(t, c.shlConst(s.t, uint8(bits.TrailingZeros64(s.k&mask(w)))))
	}
	return t, true
}

// Add returns a + b.
func (c *Ctx) Add(a, b Term) Term {
	w := c.same(a, b)
	if c.opt.Raw {
		return c.rawSum(w, a, 1, b, 1)
	}
	var k uint64
	l := c.summands(a, 1, nil, &k)
	return c.sum(w, k, c.summands(b, 1, l, &k))
}

// Sub returns a - b.
func (c *Ctx) Sub(a, b Term) Term {
	w := c.same(a, b)
	if c.opt.Raw {
		return c.rawSum(w, a, 1, b, ^uint64(0)&mask(w))
	}
	var k uint64
	l := c.summands(a, 1, nil, &k)
	return c.sum(w, k, c.summands(b, ^uint64(0), l, &k))
}

// Neg returns -a.
func (c *Ctx) Neg(a Term) Term { return c.Sub(c.Const(0, c.Width(a)), a) }

// rawSum keeps a two-term sum as it is, apart from constant folding.
func (c *Ctx) rawSum(w uint8, a Term, ka uint64, b Term, kb uint64) Term {
	x, xc := c.IsConst(a)
	y, yc := c.IsConst(b)
	if xc && yc {
		return c.Const(ka*x+kb*y, w)
	}
	return c.intern(Node{Op: OpSum, Width: w, Coef: []uint64{ka & mask(w), kb & mask(w)}}, a, b)
}

// Mul returns a * b.
func (c *Ctx) Mul(a, b Term) Term {
	w := c.same(a, b)
	if _, ok := c.IsConst(a); ok {
		a, b = b, a
	}
	if k, ok := c.IsConst(b); ok && !c.opt.Raw {
		var konst uint64
		l := c.summands(a, k, nil, &konst)
		return c.sum(w, konst, l)
	}
	if x, ok := c.IsConst(a); ok {
		if y, ok := c.IsConst(b); ok {
			return c.Const(x*y, w)
		}
	}
	if a > b {
		a, b = b, a
	}
	return c.intern(Node{Op: OpMul, Width: w}, a, b)
}

func signed(v uint64, w uint8) int64 { return int64(v<<(64-w)) >> (64 - w) }

func (c *Ctx) same(a, b Term) uint8 {
	w := c.Width(a)
	if w != c.Width(b) || w == 0 {
		panic("smt: operand widths differ")
	}
	return w
}
