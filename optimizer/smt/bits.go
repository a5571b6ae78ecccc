package smt

import "slices"

// Not returns the bitwise complement (the negation of a boolean).
func (c *Ctx) Not(a Term) Term {
	n := c.Node(a)
	if n.Op == OpConst {
		return c.Const(^n.K, n.Width)
	}
	if c.opt.Raw {
		return c.intern(Node{Op: OpNot, Width: n.Width}, a)
	}
	return c.once(OpNot, a, 0, func() Term { return c.not(a, n) })
}

func (c *Ctx) not(a Term, n *Node) Term {
	switch n.Op {
	case OpNot:
		return n.Args[0]
	case OpConcat:
		return c.Concat(c.Not(n.Args[0]), c.Not(n.Args[1]))
	case OpSExt:
		return c.SExt(c.Not(n.Args[0]), n.Width)
	case OpIte:
		if c.isConst(n.Args[1]) || c.isConst(n.Args[2]) {
			return c.Ite(n.Args[0], c.Not(n.Args[1]), c.Not(n.Args[2]))
		}
	case OpSum:
		// ~(x - 1) = -x and the like: stay in one form.
		return c.Sub(c.Const(mask(n.Width), n.Width), a)
	}
	return c.intern(Node{Op: OpNot, Width: n.Width}, a)
}

func (c *Ctx) isConst(t Term) bool { return c.Node(t).Op == OpConst }

// And, Or and Xor are the bitwise operations (logical on booleans).
func (c *Ctx) And(a, b Term) Term { return c.bitwise(OpAnd, a, b) }

// Or: see And.
func (c *Ctx) Or(a, b Term) Term { return c.bitwise(OpOr, a, b) }

// Xor: see And.
func (c *Ctx) Xor(a, b Term) Term { return c.bitwise(OpXor, a, b) }

func fold(op Op, x, y uint64) uint64 {
	switch op {
	case OpAnd:
		return x & y
	case OpOr:
		return x | y
	}
	return x ^ y
}

func (c *Ctx) bitwise(op Op, a, b Term) Term {
	w := c.same(a, b)
	x, xc := c.IsConst(a)
	y, yc := c.IsConst(b)
	if xc && yc {
		return c.Const(fold(op, x, y), w)
	}
	if c.opt.Raw {
		if a > b {
			a, b = b, a
		}
		return c.intern(Node{Op: op, Width: w}, a, b)
	}
	if xc {
		a, b, y, yc = b, a, x, true
	}
	return c.once(op, a, b, func() Term {
		if yc {
			if t, ok := c.bitwiseConst(op, a, y, w); ok {
				return t
			}
		}
		if t, ok := c.sliced(op, a, b, w); ok {
			return t
		}
		// Without a carry, exclusive or is or, as is a sum.
		if op == OpXor && c.disjoint([]Term{a, b}) {
			return c.Or(a, b)
		}
		return c.nary(op, w, a, b)
	})
}

// bitwiseConst handles a constant operand that decides bits.
func (c *Ctx) bitwiseConst(op Op, a Term, k uint64, w uint8) (Term, bool) {
	n := c.Node(a)
	m := mask(w)
	may := m &^ n.zeros // bits that can be 1
	switch op {
	case OpAnd:
		if k&may == 0 {
			return c.Const(0, w), true
		}
		if may&^k == 0 {
			return a, true
		}
		return c.maskRuns(a, k, w)
	case OpOr:
		if k == m {
			return c.Const(m, w), true
		}
		if k&^n.ones == 0 {
			return a, true
		}
		return c.setRuns(a, k, w)
	case OpXor:
		if k == 0 {
			return a, true
		}
		if k == m {
			return c.Not(a), true
		}
	}
	return 0, false
}

const maxRuns = 4

// runs splits 0..w-1 into maximal runs of equal bits of k, from the high end.
func runs(k uint64, w uint8) (list []struct {
	lo, n uint8
	one   bool
}) {
	for hi := int(w) - 1; hi >= 0; {
		one := k>>hi&1 == 1
		lo := hi
		for lo > 0 && k>>(lo-1)&1 == k>>hi&1 {
			lo--
		}
		list = append(list, struct {
			lo, n uint8
			one   bool
		}{uint8(lo), uint8(hi - lo + 1), one})
		hi = lo - 1
	}
	return list
}

// maskRuns writes a & k as slices of a and zeros.
func (c *Ctx) maskRuns(a Term, k uint64, w uint8) (Term, bool) {
	rs := runs(k, w)
	if len(rs) > maxRuns || w == 1 {
		return 0, false
	}
	var t Term
	for _, r := range rs {
		p := c.Const(0, r.n)
		if r.one {
			p = c.Extract(a, r.lo, r.n)
		}
		t = c.join(t, p)
	}
	return t, true
}

// setRuns writes a | k as slices of a and ones.
func (c *Ctx) setRuns(a Term, k uint64, w uint8) (Term, bool) {
	rs := runs(k, w)
	if len(rs) > maxRuns || w == 1 {
		return 0, false
	}
	var t Term
	for _, r := range rs {
		p := c.Const(mask(r.n), r.n)
		if !r.one {
			p = c.Extract(a, r.lo, r.n)
		}
		t = c.join(t, p)
	}
	return t, true
}

func (c *Ctx) join(hi, lo Term) Term {
	if hi == 0 {
		return lo
	}
	return c.Concat(hi, lo)
}

// cuts marks the low ends of the pieces of t.
func (c *Ctx) cuts(t Term, at uint8, set *uint64) {
	n := c.Node(t)
	*set |= 1 << at
	if n.Op == OpConcat {
		lo := n.Args[1]
		c.cuts(lo, at, set)
		c.cuts(n.Args[0], at+c.Width(lo), set)
	}
}

// constBits marks the bits of t that lie in constant pieces.
func (c *Ctx) constBits(t Term, at uint8) uint64 {
	n := c.Node(t)
	switch n.Op {
	case OpConst:
		return mask(n.Width) << at
	case OpConcat:
		return c.constBits(n.Args[0], at+c.Width(n.Args[1])) | c.constBits(n.Args[1], at)
	}
	return 0
}

// sliced works run by run where one operand is constant, and byte by byte where both
// are made of bytes. What other pieces an operand has does not matter: a rotated number,
// most often, whose pieces would only become more.
func (c *Ctx) sliced(op Op, a, b Term, w uint8) (Term, bool) {
	if c.Node(a).Op != OpConcat && c.Node(b).Op != OpConcat {
		return 0, false
	}
	if c.isConst(b) && c.Node(a).Op == OpConcat && len(runs(c.Node(b).K, w)) > 8 {
		return 0, false
	}
	ka, kb := c.constBits(a, 0), c.constBits(b, 0)
	set := uint64(1)
	for at := uint8(1); at < w; at++ {
		if ((ka^ka<<1)|(kb^kb<<1))>>at&1 != 0 {
			set |= 1 << at
		}
	}
	if set == 1 {
		for _, t := range []Term{a, b} {
			if n := c.Node(t); n.Op != OpConcat && n.Op != OpConst {
				return 0, false
			}
			c.cuts(t, 0, &set)
		}
		if set&^0x0101010101010101 != 0 {
			return 0, false
		}
	}
	var t Term
	hi := w
	for at := int(w) - 1; at >= 0; at-- {
		if set>>at&1 == 0 {
			continue
		}
		n := hi - uint8(at)
		p := c.bitwise(op, c.Extract(a, uint8(at), n), c.Extract(b, uint8(at), n))
		t = c.join(t, p)
		hi = uint8(at)
	}
	return t, true
}

// nary flattens, sorts and simplifies an associative operation.
func (c *Ctx) nary(op Op, w uint8, ts ...Term) Term {
	m := mask(w)
	unit := uint64(0)
	if op == OpAnd {
		unit = m
	}
	k := unit
	var args []Term
	var flat func(t Term)
	flat = func(t Term) {
		n := c.Node(t)
		switch {
		case n.Op == OpConst:
			k = fold(op, k, n.K)
		case n.Op == op:
			for _, a := range n.Args {
				flat(a)
			}
		case op == OpXor && n.Op == OpNot:
			k ^= m
			flat(n.Args[0])
		default:
			args = append(args, t)
		}
	}
	for _, t := range ts {
		flat(t)
	}
	slices.Sort(args)
	if op == OpXor {
		var out []Term
		for i := 0; i < len(args); i++ {
			if i+1 < len(args) && args[i] == args[i+1] {
				i++
				continue
			}
			out = append(out, args[i])
		}
		args = out
	} else {
		args = slices.Compact(args)
		if k == m&^unit { // absorbing
			return c.Const(k, w)
		}
		for _, a := range args {
			if n := c.Node(a); n.Op == OpNot {
				if _, found := slices.BinarySearch(args, n.Args[0]); found {
					return c.Const(m&^unit, w)
				}
			}
		}
	}
	if len(args) == 0 {
		return c.Const(k, w)
	}
	if op == OpXor && k == m {
		return c.Not(c.nary(op, w, args...))
	}
	if len(args) == 1 && k == unit {
		return args[0]
	}
	if k != unit {
		args = append(args, c.Const(k, w))
		slices.Sort(args)
	}
	return c.intern(Node{Op: op, Width: w}, args...)
}

// Concat puts hi above lo; at most 64 bits together.
func (c *Ctx) Concat(hi, lo Term) Term {
	h, l := c.Node(hi), c.Node(lo)
	w := h.Width + l.Width
	if w > 64 || h.Width == 0 || l.Width == 0 {
		panic("smt: concat width")
	}
	if h.Op == OpConst && l.Op == OpConst {
		return c.Const(h.K<<l.Width|l.K, w)
	}
	if c.opt.Raw {
		return c.intern(Node{Op: OpConcat, Width: w}, hi, lo)
	}
	return c.once(OpConcat, hi, lo, func() Term { return c.concat(hi, lo, h, l) })
}

// concat makes a right-associated chain with neighbours merged.
func (c *Ctx) concat(hi, lo Term, h, l *Node) Term {
	if h.Op == OpConcat {
		return c.Concat(h.Args[0], c.Concat(h.Args[1], lo))
	}
	first, rest := lo, Term(0)
	if l.Op == OpConcat {
		first, rest = l.Args[0], l.Args[1]
	}
	if t, ok := c.merge(hi, first); ok {
		if rest == 0 {
			return t
		}
		return c.Concat(t, rest)
	}
	return c.intern(Node{Op: OpConcat, Width: h.Width + l.Width}, hi, lo)
}

// merge joins two neighbouring pieces that are one slice.
func (c *Ctx) merge(hi, lo Term) (Term, bool) {
	h, l := c.Node(hi), c.Node(lo)
	if h.Op == OpConst && l.Op == OpConst {
		return c.Const(h.K<<l.Width|l.K, h.Width+l.Width), true
	}
	if h.Op == OpIte && l.Op == OpIte && h.Args[0] == l.Args[0] {
		return c.Ite(h.Args[0], c.Concat(h.Args[1], l.Args[1]), c.Concat(h.Args[2], l.Args[2])), true
	}
	hx, hlo := c.slice(hi)
	lx, llo := c.slice(lo)
	if hx == lx && uint64(hlo) == uint64(llo)+uint64(l.Width) && (h.Op == OpExtract || l.Op == OpExtract) {
		return c.Extract(hx, llo, h.Width+l.Width), true
	}
	// A sign extension's slices: the sign bit repeated above its own value.
	if h.Op == OpSExt && c.Width(h.Args[0]) == 1 {
		if sx, slo := c.slice(h.Args[0]); sx == lx && uint64(slo) == uint64(llo)+uint64(l.Width)-1 {
			return c.SExt(lo, h.Width+l.Width), true
		}
	}
	return 0, false
}

// slice sees t as bits of another term, from bit lo.
func (c *Ctx) slice(t Term) (of Term, lo uint8) {
	if n := c.Node(t); n.Op == OpExtract {
		return n.Args[0], uint8(n.K)
	}
	return t, 0
}

// Extract takes n bits of a from bit lo.
func (c *Ctx) Extract(a Term, lo, n uint8) Term {
	x := c.Node(a)
	if n == 0 || int(lo)+int(n) > int(x.Width) {
		panic("smt: extract range")
	}
	if lo == 0 && n == x.Width {
		return a
	}
	if x.Op == OpConst {
		return c.Const(x.K>>lo, n)
	}
	if c.opt.Raw {
		return c.intern(Node{Op: OpExtract, Width: n, K: uint64(lo)}, a)
	}
	if bits := mask(n) << lo; (x.zeros|x.ones)&bits == bits {
		return c.Const(x.ones>>lo, n)
	}
	// Terms share their parts: without the memo, slicing a hash computation
	// takes exponential time.
	key := sliceKey(a, lo, n)
	if t := c.slices.get(key); t != 0 {
		return t
	}
	t := c.extract(a, x, lo, n)
	c.slices.put(key, t)
	return t
}

// extract normalizes a slice that is not constant.
func (c *Ctx) extract(a Term, x *Node, lo, n uint8) Term {
	switch x.Op {
	case OpExtract:
		return c.Extract(x.Args[0], lo+uint8(x.K), n)
	case OpConcat:
		l := c.Width(x.Args[1])
		switch {
		case lo+n <= l:
			return c.Extract(x.Args[1], lo, n)
		case lo >= l:
			return c.Extract(x.Args[0], lo-l, n)
		}
		return c.Concat(c.Extract(x.Args[0], 0, lo+n-l), c.Extract(x.Args[1], lo, l-lo))
	case OpSExt:
		l := c.Width(x.Args[0])
		switch {
		case lo+n <= l:
			return c.Extract(x.Args[0], lo, n)
		case lo >= l:
			return c.SExt(c.Extract(x.Args[0], l-1, 1), n)
		}
		return c.SExt(c.Extract(x.Args[0], lo, l-lo), n)
	case OpNot:
		return c.Not(c.Extract(x.Args[0], lo, n))
	case OpAnd, OpOr, OpXor:
		t := c.Extract(x.Args[0], lo, n)
		for _, b := range x.Args[1:] {
			t = c.bitwise(x.Op, t, c.Extract(b, lo, n))
		}
		return t
	case OpIte:
		return c.Ite(x.Args[0], c.Extract(x.Args[1], lo, n), c.Extract(x.Args[2], lo, n))
	case OpSum:
		if lo == 0 {
			k := x.K
			var list []summand
			for i, b := range x.Args {
				list = c.summands(c.Extract(b, 0, n), x.Coef[i], list, &k)
			}
			return c.sum(n, k, list)
		}
		if t, ok := c.extractSum(x, lo, n); ok {
			return t
		}
		if t, ok := c.halvesSum(x, lo, n); ok {
			return t
		}
		if t, ok := c.quotient(x, lo); ok && lo+n == x.Width {
			return c.Extract(t, 0, n)
		}
	case OpMul:
		if lo == 0 {
			return c.Mul(c.Extract(x.Args[0], 0, n), c.Extract(x.Args[1], 0, n))
		}
	}
	// Only the bits up to the slice's top matter below a sum or product.
	if top := lo + n; top < x.Width && (x.Op == OpSum || x.Op == OpMul) {
		return c.Extract(c.Extract(a, 0, top), lo, n)
	}
	return c.intern(Node{Op: OpExtract, Width: n, K: uint64(lo)}, a)
}

// thrice, times a number of two halves of 16 bits, has their sum with what that carries,
// in ones' complement, above bit 32.
const thrice = 1<<32 | 1<<16 | 1

// halvesSum writes such a sum as the additions that it is.
func (c *Ctx) halvesSum(x *Node, lo, n uint8) (Term, bool) {
	if lo < 32 || lo+n > 48 || x.Width != 64 || x.K != 0 || len(x.Args) != 1 || x.Coef[0] != thrice || ^c.Node(x.Args[0]).zeros>>32 != 0 {
		return 0, false
	}
	sum := c.Add(c.ZExt(c.Extract(x.Args[0], 0, 16), 64), c.ZExt(c.Extract(x.Args[0], 16, 16), 64))
	return c.Extract(c.Add(sum, c.LShr(sum, c.Const(16, 64))), lo-32, n), true
}

// extractSum divides a sum whose parts are all multiples of 2^lo.
func (c *Ctx) extractSum(x *Node, lo, n uint8) (Term, bool) {
	low := mask(lo)
	if x.K&low != 0 {
		return 0, false
	}
	for i, a := range x.Args {
		if x.Coef[i]&low != 0 && ^c.Node(a).zeros&low != 0 {
			return 0, false
		}
		if x.Coef[i]&low != 0 {
			return 0, false
		}
	}
	k := x.K >> lo
	var list []summand
	for i, a := range x.Args {
		t := a
		if c.Width(t) > n {
			t = c.Extract(t, 0, n)
		}
		list = c.summands(t, x.Coef[i]>>lo, list, &k)
	}
	return c.sum(n, k, list), true
}

// ZExt widens a to w bits with zeros.
func (c *Ctx) ZExt(a Term, w uint8) Term {
	if n := c.Width(a); n < w {
		return c.Concat(c.Const(0, w-n), a)
	}
	return a
}

// SExt widens a to w bits with its sign.
func (c *Ctx) SExt(a Term, w uint8) Term {
	n := c.Node(a)
	if n.Width == w {
		return a
	}
	if n.Op == OpConst {
		return c.Const(uint64(signed(n.K, n.Width)), w)
	}
	if !c.opt.Raw {
		sign := uint64(1) << (n.Width - 1)
		switch {
		case n.zeros&sign != 0:
			return c.ZExt(a, w)
		case n.ones&sign != 0:
			return c.Concat(c.Const(mask(w-n.Width), w-n.Width), a)
		case n.Op == OpSExt:
			return c.SExt(n.Args[0], w)
		case n.Op == OpIte && (c.isConst(n.Args[1]) || c.isConst(n.Args[2])):
			return c.Ite(n.Args[0], c.SExt(n.Args[1], w), c.SExt(n.Args[2], w))
		}
	}
	return c.intern(Node{Op: OpSExt, Width: w}, a)
}

// BSwap reverses the bytes of a.
func (c *Ctx) BSwap(a Term) Term {
	w := c.Width(a)
	if w%8 != 0 {
		panic("smt: bswap width")
	}
	t := c.Extract(a, 0, 8)
	for at := uint8(8); at < w; at += 8 {
		t = c.Concat(t, c.Extract(a, at, 8))
	}
	return t
}

func (c *Ctx) shlConst(a Term, k uint8) Term {
	w := c.Width(a)
	if k == 0 {
		return a
	}
	if k >= w {
		return c.Const(0, w)
	}
	return c.Concat(c.Extract(a, 0, w-k), c.Const(0, k))
}

func (c *Ctx) lshrConst(a Term, k uint8) Term {
	w := c.Width(a)
	if k == 0 {
		return a
	}
	if k >= w {
		return c.Const(0, w)
	}
	return c.ZExt(c.Extract(a, k, w-k), w)
}

// Shl shifts left; by the width or more gives 0.
func (c *Ctx) Shl(a, b Term) Term {
	w := c.same(a, b)
	if k, ok := c.IsConst(b); ok {
		if x, xc := c.IsConst(a); xc {
			if k >= uint64(w) {
				return c.Const(0, w)
			}
			return c.Const(x<<k, w)
		}
		if !c.opt.Raw {
			return c.shlConst(a, uint8(min(k, 64)))
		}
	}
	return c.intern(Node{Op: OpShl, Width: w}, a, b)
}

// LShr shifts right, filling with zeros; by the width or more gives 0.
func (c *Ctx) LShr(a, b Term) Term {
	w := c.same(a, b)
	if k, ok := c.IsConst(b); ok {
		if x, xc := c.IsConst(a); xc {
			if k >= uint64(w) {
				return c.Const(0, w)
			}
			return c.Const(x>>k, w)
		}
		if !c.opt.Raw {
			return c.lshrConst(a, uint8(min(k, 64)))
		}
	}
	return c.intern(Node{Op: OpLShr, Width: w}, a, b)
}

// AShr shifts right, filling with the sign.
func (c *Ctx) AShr(a, b Term) Term {
	w := c.same(a, b)
	if k, ok := c.IsConst(b); ok {
		k = min(k, uint64(w)-1)
		if x, xc := c.IsConst(a); xc {
			return c.Const(uint64(signed(x, w)>>k), w)
		}
		if !c.opt.Raw {
			return c.SExt(c.Extract(a, uint8(k), w-uint8(k)), w)
		}
	}
	return c.intern(Node{Op: OpAShr, Width: w}, a, b)
}
