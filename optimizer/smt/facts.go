package smt

import "math/bits"

// facts is what conjuncts say of terms.
type facts struct {
	c    *Ctx
	work *int
	// val is what a term may be replaced by: a constant or an older term.
	val map[Term]Term
	// Bits and inclusive bounds of terms.
	known    map[Term]knownBits
	unsigned map[Term]bounds[uint64]
	signed   map[Term]bounds[int64]
	memo     map[Term]Term
}

type knownBits struct{ zeros, ones uint64 }

type bounds[T uint64 | int64] struct{ lo, hi T }

func newFacts(c *Ctx, work *int) *facts {
	return &facts{c: c, work: work, val: map[Term]Term{}, known: map[Term]knownBits{}, unsigned: map[Term]bounds[uint64]{}, signed: map[Term]bounds[int64]{}, memo: map[Term]Term{}}
}

// learn takes in a conjunct; true if it contradicts what is known.
func (f *facts) learn(t Term) bool {
	c := f.c
	clear(f.memo)
	f.val[t] = c.Bool(true)
	not := c.Not(t)
	f.val[not] = c.Bool(false)
	n, truth := c.Node(t), true
	if n.Op == OpNot {
		n, truth, t = c.Node(n.Args[0]), false, n.Args[0]
	}
	switch n.Op {
	case OpExtract:
		v := uint64(0)
		if truth {
			v = 1
		}
		return f.bitsOf(n.Args[0], n.K, 1, v)
	case OpEq:
		a, b := n.Args[0], n.Args[1]
		k, ok := c.IsConst(b)
		switch {
		case ok && truth:
			return f.equals(a, b, k)
		case ok:
			return f.differs(a, k)
		case truth: // arguments are older than what they are part of
			f.val[max(a, b)] = min(a, b)
		}
	case OpUlt:
		return f.learnUlt(n.Args[0], n.Args[1], truth)
	case OpSlt:
		return f.learnSlt(n.Args[0], n.Args[1], truth)
	}
	return false
}

// equals: a has the constant value k, as does the term b.
func (f *facts) equals(a, b Term, k uint64) bool {
	f.val[a] = b
	w := f.c.Width(a)
	if of, by := f.top(a); by > 0 && f.bound(of, k<<by, k<<by|mask(uint8(by))) {
		return true
	}
	return f.bound(a, k, k) || f.boundSigned(a, signed(k, w), signed(k, w))
}

// differs: a is not k, which matters at the end of its range.
func (f *facts) differs(a Term, k uint64) bool {
	w := f.c.Width(a)
	u, s := f.unsignedOf(a), f.signedOf(a)
	empty := false
	switch {
	case u.lo == k && u.hi == k || s.lo == s.hi && s.lo == signed(k, w):
		return true
	case u.lo == k:
		empty = f.bound(a, k+1, mask(w))
	case u.hi == k:
		empty = f.bound(a, 0, k-1)
	}
	least, most := signed(1<<(w-1), w), signed(mask(w)>>1, w)
	switch signed(k, w) {
	case s.lo:
		empty = empty || f.boundSigned(a, s.lo+1, most)
	case s.hi:
		empty = empty || f.boundSigned(a, least, s.hi-1)
	}
	return empty
}

// bitsOf: n bits of t from bit lo are v. True if they cannot be.
func (f *facts) bitsOf(t Term, lo uint64, n uint8, v uint64) bool {
	x := f.c.Node(t)
	switch x.Op {
	case OpConst:
		return (x.K>>lo^v)&mask(n) != 0
	case OpConcat: // they are bits of its pieces
		w := uint64(f.c.Width(x.Args[1]))
		switch {
		case lo >= w:
			return f.bitsOf(x.Args[0], lo-w, n, v)
		case lo+uint64(n) > w:
			below := uint8(w - lo)
			if f.bitsOf(x.Args[0], 0, n-below, v>>below) {
				return true
			}
			n, v = below, v&mask(below)
		}
		return f.bitsOf(x.Args[1], lo, n, v)
	case OpExtract:
		return f.bitsOf(x.Args[0], lo+x.K, n, v)
	case OpNot:
		return f.bitsOf(x.Args[0], lo, n, ^v&mask(n))
	}
	k := f.known[t]
	k.ones |= v << lo
	k.zeros |= (^v & mask(n)) << lo
	f.known[t] = k
	return k.ones&k.zeros != 0
}

// top sees t as the upper bits of another term: of >> by.
func (f *facts) top(t Term) (of Term, by uint64) {
	n := f.c.Node(t)
	switch n.Op {
	case OpExtract:
		if n.K > 0 && uint8(n.K)+n.Width == f.c.Width(n.Args[0]) {
			return n.Args[0], n.K
		}
	case OpConcat:
		if low, by := f.top(n.Args[1]); by > 0 && uint64(n.Width)+by <= 64 {
			return f.c.Concat(n.Args[0], low), by
		}
	}
	return t, 0
}

func (f *facts) learnUlt(a, b Term, truth bool) bool {
	c := f.c
	x, xc := c.IsConst(a)
	y, yc := c.IsConst(b)
	switch {
	case yc && truth: // a < y
		of, by := f.top(a)
		return f.bound(of, 0, y<<by-1)
	case yc:
		of, by := f.top(a)
		return f.bound(of, y<<by, mask(c.Width(of)))
	case xc && truth: // x < b
		of, by := f.top(b)
		return x == mask(c.Width(b)) || f.bound(of, (x+1)<<by, mask(c.Width(of)))
	case xc:
		of, by := f.top(b)
		return f.bound(of, 0, x<<by|mask(uint8(by)))
	case truth:
		f.val[c.Ult(b, a)] = c.Bool(false)
		f.val[c.Eq(a, b)] = c.Bool(false)
	}
	return false
}

func (f *facts) learnSlt(a, b Term, truth bool) bool {
	c := f.c
	w := c.Width(a)
	least, most := signed(1<<(w-1), w), signed(mask(w)>>1, w)
	x, xc := c.IsConst(a)
	y, yc := c.IsConst(b)
	sx, sy := signed(x, w), signed(y, w)
	switch {
	case yc && truth:
		return sy == least || f.boundSigned(a, least, sy-1)
	case yc:
		return f.boundSigned(a, sy, most)
	case xc && truth:
		return sx == most || f.boundSigned(b, sx+1, most)
	case xc:
		return f.boundSigned(b, least, sx)
	case truth:
		f.val[c.Slt(b, a)] = c.Bool(false)
		f.val[c.Eq(a, b)] = c.Bool(false)
	}
	return false
}

func (f *facts) unsignedOf(t Term) bounds[uint64] {
	n := f.c.Node(t)
	k := f.known[t]
	b := bounds[uint64]{n.ones | k.ones, mask(n.Width) &^ (n.zeros | k.zeros)}
	if m, ok := f.unsigned[t]; ok {
		b.lo, b.hi = max(b.lo, m.lo), min(b.hi, m.hi)
	}
	return b
}

func (f *facts) signedOf(t Term) bounds[int64] {
	w := f.c.Width(t)
	b := bounds[int64]{signed(1<<(w-1), w), signed(mask(w)>>1, w)}
	if m, ok := f.signed[t]; ok {
		b = m
	}
	// Bounds on one side of the sign are bounds of both kinds.
	if u := f.unsignedOf(t); u.lo>>(w-1) == u.hi>>(w-1) && u.lo <= u.hi {
		b.lo, b.hi = max(b.lo, signed(u.lo, w)), min(b.hi, signed(u.hi, w))
	}
	return b
}

// bound narrows t to lo..hi; true if nothing is left. What is left of one value
// replaces t.
func (f *facts) bound(t Term, lo, hi uint64) bool {
	b := f.unsignedOf(t)
	b.lo, b.hi = max(b.lo, lo), min(b.hi, hi)
	if b.lo > b.hi {
		return true
	}
	f.unsigned[t] = b
	w := f.c.Width(t)
	if b.lo == b.hi {
		f.val[t] = f.c.Const(b.lo, w)
	}
	// Common leading bits are known.
	if n := bits.Len64(b.lo ^ b.hi); n < int(w) {
		if f.bitsOf(t, uint64(n), w-uint8(n), b.lo>>n) {
			return true
		}
	}
	s := f.signedOf(t)
	return s.lo > s.hi
}

func (f *facts) boundSigned(t Term, lo, hi int64) bool {
	b := f.signedOf(t)
	b.lo, b.hi = max(b.lo, lo), min(b.hi, hi)
	if b.lo > b.hi {
		return true
	}
	f.signed[t] = b
	w := f.c.Width(t)
	if (b.lo < 0) == (b.hi < 0) {
		return f.bound(t, uint64(b.lo)&mask(w), uint64(b.hi)&mask(w))
	}
	return false
}
