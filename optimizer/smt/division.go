package smt

import (
	"math"
	"math/bits"
	"slices"
)

// UDiv returns the unsigned quotient; by zero it is all ones, as in SMT-LIB.
func (c *Ctx) UDiv(a, b Term) Term {
	w := c.same(a, b)
	y, yc := c.IsConst(b)
	if x, ok := c.IsConst(a); ok && yc {
		if y == 0 {
			return c.Const(mask(w), w)
		}
		return c.Const(x/y, w)
	}
	if yc && y != 0 && !c.opt.Raw {
		if y&(y-1) == 0 {
			return c.lshrConst(a, uint8(bits.TrailingZeros64(y)))
		}
		n := c.significant(a)
		if y > mask(n) {
			return c.Const(0, w)
		}
		if n < w {
			return c.ZExt(c.UDiv(c.Extract(a, 0, n), c.Const(y, n)), w)
		}
	}
	if n := max(c.significant(a), c.significant(b)); !yc && n < w && !c.opt.Raw {
		return c.Ite(c.Eq(b, c.Const(0, w)), c.Const(mask(w), w), c.ZExt(c.UDiv(c.Extract(a, 0, n), c.Extract(b, 0, n)), w))
	}
	return c.lowBits(c.intern(Node{Op: OpUDiv, Width: w}, a, b))
}

// URem returns the unsigned remainder; by zero it is a.
func (c *Ctx) URem(a, b Term) Term {
	w := c.same(a, b)
	y, yc := c.IsConst(b)
	if x, ok := c.IsConst(a); ok && yc {
		if y == 0 {
			return a
		}
		return c.Const(x%y, w)
	}
	if yc && y != 0 && !c.opt.Raw {
		if y&(y-1) == 0 {
			return c.And(a, c.Const(y-1, w))
		}
		n := c.significant(a)
		if y > mask(n) {
			return a
		}
		if n < w {
			return c.ZExt(c.URem(c.Extract(a, 0, n), c.Const(y, n)), w)
		}
	}
	if n := max(c.significant(a), c.significant(b)); !yc && n < w && !c.opt.Raw {
		return c.ZExt(c.URem(c.Extract(a, 0, n), c.Extract(b, 0, n)), w)
	}
	return c.lowBits(c.intern(Node{Op: OpURem, Width: w}, a, b))
}

// SDiv returns the quotient rounded toward zero, as SMT-LIB's bvsdiv.
func (c *Ctx) SDiv(a, b Term) Term {
	w := c.same(a, b)
	x, xc := c.IsConst(a)
	y, yc := c.IsConst(b)
	if xc && yc {
		return c.Const(sdiv(x, y, w), w)
	}
	if yc && signed(y, w) > 0 && !c.opt.Raw {
		return c.Ite(c.Slt(a, c.Const(0, w)), c.Neg(c.UDiv(c.Neg(a), b)), c.UDiv(a, b))
	}
	return c.intern(Node{Op: OpSDiv, Width: w}, a, b)
}

// SRem returns the remainder with the sign of the dividend, as bvsrem.
func (c *Ctx) SRem(a, b Term) Term {
	w := c.same(a, b)
	x, xc := c.IsConst(a)
	y, yc := c.IsConst(b)
	if xc && yc {
		return c.Const(srem(x, y, w), w)
	}
	if yc && signed(y, w) > 0 && !c.opt.Raw {
		return c.Ite(c.Slt(a, c.Const(0, w)), c.Neg(c.URem(c.Neg(a), b)), c.URem(a, b))
	}
	return c.intern(Node{Op: OpSRem, Width: w}, a, b)
}

func sdiv(x, y uint64, w uint8) uint64 {
	p, q := signed(x, w), signed(y, w)
	switch {
	case q == 0 && p < 0:
		return 1
	case q == 0:
		return mask(w)
	case q == -1:
		return -x & mask(w) // the smallest value has no positive counterpart
	}
	return uint64(p/q) & mask(w)
}

func srem(x, y uint64, w uint8) uint64 {
	p, q := signed(x, w), signed(y, w)
	switch q {
	case 0:
		return x & mask(w)
	case -1:
		return 0
	}
	return uint64(p%q) & mask(w)
}

// significant is how many of the low bits of a may be set, at least 1.
func (c *Ctx) significant(a Term) uint8 {
	n := c.Node(a)
	return uint8(max(1, bits.Len64(^n.zeros&mask(n.Width))))
}

// lowBits writes a term without the bits that are known to be clear at its top: slices
// of it then come to the same terms.
func (c *Ctx) lowBits(t Term) Term {
	if c.opt.Raw {
		return t
	}
	return c.ZExt(c.Extract(t, 0, c.significant(t)), c.Width(t))
}

// multiplier tells whether x times m, shifted right by s, is the quotient of x and
// some divisor y for each x up to top, and the product stays below 2^w: Granlund and
// Montgomery, Division by Invariant Integers using Multiplication, PLDI 1994. With
// e = m*y - 2^s, x*m/2^s is x/y + x*e/(y*2^s), and the floor is the same while the
// second part is less than 1/y.
func multiplier(m, top uint64, s, w uint8) (y uint64, ok bool) {
	if s == 0 || s >= 64 || m < 2 || m >= 1<<s {
		return 0, false
	}
	if hi, lo := bits.Mul64(top, m); hi != 0 || lo > mask(w) {
		return 0, false
	}
	y = (1<<s-1)/m + 1
	hi, product := bits.Mul64(m, y)
	if hi != 0 || product < 1<<s {
		return 0, false
	}
	if hi, lo := bits.Mul64(top, product-1<<s); hi != 0 || lo >= 1<<s {
		return 0, false
	}
	return y, true
}

// quotient is the slice of a product from bit lo on as a division, of the width of
// the product.
func (c *Ctx) quotient(x *Node, lo uint8) (Term, bool) {
	if x.Op != OpSum || len(x.Args) != 1 || x.K != 0 {
		return 0, false
	}
	a := x.Args[0]
	y, ok := multiplier(x.Coef[0], mask(c.significant(a)), lo, x.Width)
	if !ok {
		return 0, false
	}
	return c.UDiv(a, c.Const(y, x.Width)), true
}

// remainders puts a remainder in the place of a dividend less a multiple of its
// quotient, in a linear combination of w bits, where that is shorter.
func (c *Ctx) remainders(w uint8, konst *uint64, list []summand) []summand {
	for i := range list {
		d := c.Node(list[i].t)
		if d.Op == OpConcat {
			if k, ok := c.IsConst(d.Args[0]); ok && k == 0 {
				d = c.Node(d.Args[1])
			}
		}
		if d.Op == OpExtract && d.K == 0 && d.Width == c.significant(d.Args[0]) {
			d = c.Node(d.Args[0])
		}
		if d.Op != OpUDiv {
			continue
		}
		y, ok := c.IsConst(d.Args[1])
		times := -signed(list[i].k, w)
		if !ok || y == 0 || y > math.MaxInt64 || times%int64(y) != 0 {
			continue
		}
		k := uint64(times / int64(y))
		sum := *konst
		rest := c.summands(c.ZExt(d.Args[0], w), -k, slices.Delete(slices.Clone(list), i, i+1), &sum)
		rest = merge(w, c.summands(c.ZExt(c.URem(d.Args[0], d.Args[1]), w), k, rest, &sum))
		if len(rest) < len(list) {
			*konst = sum
			return c.remainders(w, konst, rest)
		}
	}
	return list
}

// Reciprocal gives m and s such that x*m >> s is the quotient of x and y for each x up
// to top, in 64 bits without overflow, with the smallest m. ok is false if there are none.
func Reciprocal(y, top uint64) (m uint64, s uint8, ok bool) {
	if y < 2 {
		return 0, 0, false
	}
	for s := range uint8(64) {
		m := (1<<s + y - 1) / y
		if z, ok := multiplier(m, top, s, 64); ok && z == y {
			return m, s, true
		}
	}
	return 0, 0, false
}
