package smt

// Eq is true where a and b are equal.
func (c *Ctx) Eq(a, b Term) Term {
	w := c.Width(a)
	if w != c.Width(b) {
		panic("smt: operand widths differ")
	}
	if a == b {
		return c.Bool(true)
	}
	if w == 0 {
		panic("smt: tokens have no value to compare")
	}
	x, xc := c.IsConst(a)
	y, yc := c.IsConst(b)
	if xc && yc {
		return c.Bool(x == y)
	}
	if c.opt.Raw {
		if a > b {
			a, b = b, a
		}
		return c.intern(Node{Op: OpEq, Width: 1}, a, b)
	}
	if xc {
		a, b, y, yc = b, a, x, true
	}
	return c.once(OpEq, a, b, func() Term { return c.eq(a, b, w, y, yc) })
}

// eq normalizes a == b; y is b's value if it is constant.
func (c *Ctx) eq(a, b Term, w uint8, y uint64, yc bool) Term {
	na, nb := c.Node(a), c.Node(b)
	if na.zeros&nb.ones|na.ones&nb.zeros != 0 {
		return c.Bool(false)
	}
	if w == 1 {
		if yc {
			if y == 1 {
				return a
			}
			return c.Not(a)
		}
		return c.Not(c.Xor(a, b))
	}
	if t, ok := c.eqPieces(a, b, w, yc); ok {
		return t
	}
	if yc {
		return c.eqConst(a, y, w)
	}
	// a == b as a - b == 0, with the constant on the right.
	if na.Op == OpSum || nb.Op == OpSum {
		var k uint64
		l := c.summands(a, 1, nil, &k)
		l = c.summands(b, ^uint64(0), l, &k)
		d := c.sum(w, 0, l)
		if d == a || d == b || c.Node(d).Op == OpSum && len(c.Node(d).Args) > 1 {
			return c.eqSum(d, -k&mask(w), w)
		}
		return c.Eq(d, c.Const(-k, w))
	}
	if na.Op == OpIte && (na.Args[1] == b || na.Args[2] == b) {
		if na.Args[1] == b {
			return c.Or(na.Args[0], c.Eq(na.Args[2], b))
		}
		return c.Or(c.Not(na.Args[0]), c.Eq(na.Args[1], b))
	}
	if nb.Op == OpIte && (nb.Args[1] == a || nb.Args[2] == a) {
		return c.Eq(b, a)
	}
	if a > b {
		a, b = b, a
	}
	return c.intern(Node{Op: OpEq, Width: 1}, a, b)
}

// eqSum is d == k for a difference d of several terms; of d and -d the one
// with the smaller first coefficient is kept.
func (c *Ctx) eqSum(d Term, k uint64, w uint8) Term {
	n := c.Node(d)
	if n.Op == OpSum && len(n.Coef) > 0 && n.Coef[0] > -n.Coef[0]&mask(w) {
		var konst uint64
		l := c.summands(d, ^uint64(0), nil, &konst)
		d, k = c.sum(w, konst, l), -k&mask(w)
	}
	// x - y == 0 reads x == y: the same as a plain comparison of two terms.
	if n = c.Node(d); k == 0 && n.Op == OpSum && n.K == 0 && len(n.Args) == 2 && n.Coef[0] == 1 && n.Coef[1] == mask(w) {
		a, b := n.Args[0], n.Args[1]
		return c.intern(Node{Op: OpEq, Width: 1}, a, b)
	}
	return c.intern(Node{Op: OpEq, Width: 1}, d, c.Const(k, w))
}

// eqPieces compares concatenations piece by piece.
func (c *Ctx) eqPieces(a, b Term, w uint8, bConst bool) (Term, bool) {
	var set uint64
	c.cuts(a, 0, &set)
	if !bConst {
		if c.Node(b).Op != OpConcat && c.Node(a).Op != OpConcat {
			return 0, false
		}
		c.cuts(b, 0, &set)
	} else if c.Node(a).Op != OpConcat {
		return 0, false
	}
	t := c.Bool(true)
	hi := w
	for at := int(w) - 1; at >= 0; at-- {
		if set>>at&1 == 1 {
			n := hi - uint8(at)
			t = c.And(t, c.Eq(c.Extract(a, uint8(at), n), c.Extract(b, uint8(at), n)))
			hi = uint8(at)
		}
	}
	return t, true
}

func (c *Ctx) eqConst(a Term, y uint64, w uint8) Term {
	n := c.Node(a)
	switch n.Op {
	case OpSum:
		if len(n.Args) == 1 && n.Coef[0]&1 == 1 && (n.K != 0 || n.Coef[0] != 1) {
			// An odd coefficient can be divided out.
			inv := inverse(n.Coef[0])
			return c.Eq(n.Args[0], c.Const((y-n.K)*inv, w))
		}
		if n.K != 0 {
			var k uint64
			l := c.summands(a, 1, nil, &k)
			return c.Eq(c.sum(w, 0, l), c.Const(y-k, w))
		}
		return c.eqSum(a, y, w)
	case OpNot:
		return c.Eq(n.Args[0], c.Const(^y, w))
	case OpIte:
		if c.isConst(n.Args[1]) || c.isConst(n.Args[2]) {
			k := c.Const(y, w)
			return c.Ite(n.Args[0], c.Eq(n.Args[1], k), c.Eq(n.Args[2], k))
		}
	case OpSExt:
		l := c.Width(n.Args[0])
		if uint64(signed(y, l))&mask(w) != y {
			return c.Bool(false)
		}
		return c.Eq(n.Args[0], c.Const(y, l))
	case OpXor:
		last := len(n.Args)
		for i, b := range n.Args {
			if k, ok := c.IsConst(b); ok && last > 1 {
				rest := append(append([]Term(nil), n.Args[:i]...), n.Args[i+1:]...)
				return c.Eq(c.nary(OpXor, w, rest...), c.Const(y^k, w))
			}
		}
		if y == 0 && len(n.Args) == 2 {
			return c.Eq(n.Args[0], n.Args[1])
		}
	case OpOr:
		if y == 0 {
			t := c.Bool(true)
			for _, b := range n.Args {
				t = c.And(t, c.Eq(b, c.Const(0, w)))
			}
			return t
		}
	}
	k := c.Const(y, w)
	return c.intern(Node{Op: OpEq, Width: 1}, a, k)
}

// inverse is the multiplicative inverse of an odd number modulo 2^64.
func inverse(a uint64) uint64 {
	x := a
	for range 6 {
		x *= 2 - a*x
	}
	return x
}

// Ne is Not(Eq).
func (c *Ctx) Ne(a, b Term) Term { return c.Not(c.Eq(a, b)) }

// Ult is unsigned a < b.
func (c *Ctx) Ult(a, b Term) Term {
	w := c.same(a, b)
	x, xc := c.IsConst(a)
	y, yc := c.IsConst(b)
	switch {
	case xc && yc:
		return c.Bool(x < y)
	case a == b:
		return c.Bool(false)
	case c.opt.Raw:
		return c.intern(Node{Op: OpUlt, Width: 1}, a, b)
	}
	na, nb := c.Node(a), c.Node(b)
	m := mask(w)
	if m&^na.zeros < nb.ones {
		return c.Bool(true)
	}
	if na.ones >= m&^nb.zeros {
		return c.Bool(false)
	}
	if xc {
		if x == m {
			return c.Bool(false)
		}
		return c.Not(c.ultConst(b, x+1, w))
	}
	if yc {
		return c.ultConst(a, y, w)
	}
	// Common leading zeros do not matter.
	if z := c.leadingZeros(a, b, w); z > 0 && z < w {
		return c.Ult(c.Extract(a, 0, w-z), c.Extract(b, 0, w-z))
	}
	if na.Op == OpIte && c.isConst(na.Args[1]) && c.isConst(na.Args[2]) {
		return c.Ite(na.Args[0], c.Ult(na.Args[1], b), c.Ult(na.Args[2], b))
	}
	return c.intern(Node{Op: OpUlt, Width: 1}, a, b)
}

func (c *Ctx) leadingZeros(a, b Term, w uint8) uint8 {
	both := c.Node(a).zeros & c.Node(b).zeros
	z := uint8(0)
	for z < w && both>>(w-1-z)&1 == 1 {
		z++
	}
	return z
}

// ultConst is a < y for a constant y.
func (c *Ctx) ultConst(a Term, y uint64, w uint8) Term {
	n := c.Node(a)
	m := mask(w)
	switch {
	case y == 0:
		return c.Bool(false)
	case y == 1:
		return c.Eq(a, c.Const(0, w))
	case y == m:
		return c.Ne(a, c.Const(m, w))
	case m&^n.zeros < y:
		return c.Bool(true)
	case n.ones >= y:
		return c.Bool(false)
	case y&(y-1) == 0:
		k := uint8(0)
		for y>>k != 1 {
			k++
		}
		return c.Eq(c.Extract(a, k, w-k), c.Const(0, w-k))
	}
	if n.Op == OpIte && (c.isConst(n.Args[1]) || c.isConst(n.Args[2])) {
		k := c.Const(y, w)
		return c.Ite(n.Args[0], c.Ult(n.Args[1], k), c.Ult(n.Args[2], k))
	}
	z := uint8(0)
	for z < w && n.zeros>>(w-1-z)&1 == 1 {
		z++
	}
	if z > 0 && z < w {
		return c.Ult(c.Extract(a, 0, w-z), c.Const(y, w-z))
	}
	// Trailing zeros of the bound: only the high part counts.
	if t := trailing(y); t > 0 {
		return c.Ult(c.Extract(a, t, w-t), c.Const(y>>t, w-t))
	}
	return c.intern(Node{Op: OpUlt, Width: 1}, a, c.Const(y, w))
}

func trailing(y uint64) uint8 {
	t := uint8(0)
	for y>>t&1 == 0 {
		t++
	}
	return t
}

// Ule is unsigned a <= b.
func (c *Ctx) Ule(a, b Term) Term { return c.Not(c.Ult(b, a)) }

// Slt is signed a < b.
func (c *Ctx) Slt(a, b Term) Term {
	w := c.same(a, b)
	x, xc := c.IsConst(a)
	y, yc := c.IsConst(b)
	switch {
	case xc && yc:
		return c.Bool(signed(x, w) < signed(y, w))
	case a == b:
		return c.Bool(false)
	}
	if !c.opt.Raw {
		na, nb := c.Node(a), c.Node(b)
		sign := uint64(1) << (w - 1)
		sa, sb := na.zeros&sign != 0, nb.zeros&sign != 0
		ga, gb := na.ones&sign != 0, nb.ones&sign != 0
		switch {
		case sa && sb || ga && gb:
			return c.Ult(a, b)
		case ga && sb:
			return c.Bool(true)
		case sa && gb:
			return c.Bool(false)
		case yc && y == 0:
			return c.Extract(a, w-1, 1)
		case xc && x == mask(w): // -1 < b
			return c.Not(c.Extract(b, w-1, 1))
		case xc && x != mask(w)>>1:
			return c.Not(c.Slt(b, c.Const(x+1, w)))
		}
		if na.Op == OpSExt && nb.Op == OpSExt && c.Width(na.Args[0]) == c.Width(nb.Args[0]) {
			return c.Slt(na.Args[0], nb.Args[0])
		}
		if na.Op == OpSExt && yc {
			l := c.Width(na.Args[0])
			if uint64(signed(y, l))&mask(w) == y {
				return c.Slt(na.Args[0], c.Const(y, l))
			}
		}
	}
	return c.intern(Node{Op: OpSlt, Width: 1}, a, b)
}

// Sle is signed a <= b.
func (c *Ctx) Sle(a, b Term) Term { return c.Not(c.Slt(b, a)) }

// Ite is a where cond holds, else b.
func (c *Ctx) Ite(cond, a, b Term) Term {
	w := c.same(a, b)
	if k, ok := c.IsConst(cond); ok {
		if k == 1 {
			return a
		}
		return b
	}
	if a == b {
		return a
	}
	if !c.opt.Raw {
		n := c.Node(cond)
		if n.Op == OpNot {
			return c.Ite(n.Args[0], b, a)
		}
		if x := c.Node(a); x.Op == OpIte && x.Args[0] == cond {
			return c.Ite(cond, x.Args[1], b)
		}
		if x := c.Node(b); x.Op == OpIte && x.Args[0] == cond {
			return c.Ite(cond, a, x.Args[2])
		}
		if w == 1 {
			x, xc := c.IsConst(a)
			y, yc := c.IsConst(b)
			switch {
			case xc && yc:
				if x == 1 {
					return cond
				}
				return c.Not(cond)
			case xc && x == 1:
				return c.Or(cond, b)
			case xc:
				return c.And(c.Not(cond), b)
			case yc && y == 1:
				return c.Or(c.Not(cond), a)
			case yc:
				return c.And(cond, a)
			}
		}
	}
	return c.intern(Node{Op: OpIte, Width: w}, cond, a, b)
}
