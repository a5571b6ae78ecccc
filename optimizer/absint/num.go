package absint

import (
	"fmt"
	"math"
)

// Tnum is a set of numbers by their bits: a bit of M is unknown, the others
// are those of V. V and M have no bit in common.
type Tnum struct{ V, M uint64 }

// Range is an interval of numbers in both readings; each bound is inclusive.
type Range struct {
	UMin, UMax uint64
	SMin, SMax int64
}

// Num is a set of numbers of W bits: those in T and in Range, and, when W is
// 64, with low halves in Low. The zero Num is not valid.
type Num struct {
	W uint8
	T Tnum
	Range
	Low Range
}

func mask(w uint8) uint64 { return ^uint64(0) >> (64 - w) }

// sext reads the low w bits of v as a signed number.
func sext(v uint64, w uint8) int64 { return int64(v<<(64-w)) >> (64 - w) }

func fullRange(w uint8) Range {
	return Range{UMax: mask(w), SMin: math.MinInt64 >> (64 - w), SMax: math.MaxInt64 >> (64 - w)}
}

// Full is every number of w bits.
func Full(w uint8) Num {
	n := Num{W: w, T: Tnum{M: mask(w)}, Range: fullRange(w)}
	if w == 64 {
		n.Low = fullRange(32)
	}
	return n
}

// Const is the one number v.
func Const(v uint64, w uint8) Num {
	v &= mask(w)
	n := Num{W: w, T: Tnum{V: v}, Range: Range{v, v, sext(v, w), sext(v, w)}}
	if w == 64 {
		l := v & mask(32)
		n.Low = Range{l, l, sext(l, 32), sext(l, 32)}
	}
	return n
}

// Between is the numbers from lo to hi, unsigned.
func Between(lo, hi uint64, w uint8) Num {
	n := Full(w)
	n.UMin, n.UMax = lo, hi
	return n.norm()
}

// IsConst returns the number when there is only one.
func (n Num) IsConst() (uint64, bool) { return n.T.V, n.T.M == 0 && !n.Empty() }

// Empty reports whether the set is known to have no element.
func (n Num) Empty() bool {
	return n.UMin > n.UMax || n.SMin > n.SMax || n.T.V&n.T.M != 0
}

// Has reports whether v is in the set.
func (n Num) Has(v uint64) bool {
	in := func(r Range, v uint64, w uint8) bool {
		return v >= r.UMin && v <= r.UMax && sext(v, w) >= r.SMin && sext(v, w) <= r.SMax
	}
	if v&^n.T.M != n.T.V || !in(n.Range, v, n.W) {
		return false
	}
	return n.W != 64 || in(n.Low, v&mask(32), 32)
}

func (n Num) String() string {
	if v, ok := n.IsConst(); ok {
		return fmt.Sprintf("%#x", v)
	}
	s := fmt.Sprintf("u[%#x,%#x] s[%d,%d] bits(%#x;%#x)", n.UMin, n.UMax, n.SMin, n.SMax, n.T.V, n.T.M)
	if n.W == 64 {
		s += fmt.Sprintf(" u32[%#x,%#x] s32[%d,%d]", n.Low.UMin, n.Low.UMax, n.Low.SMin, n.Low.SMax)
	}
	return s
}

func empty(w uint8) Num { return Num{W: w, T: Tnum{V: 1, M: 1}, Range: Range{UMin: 1}} }

func (r Range) meet(o Range) Range {
	return Range{max(r.UMin, o.UMin), min(r.UMax, o.UMax), max(r.SMin, o.SMin), min(r.SMax, o.SMax)}
}

func (r Range) join(o Range) Range {
	return Range{min(r.UMin, o.UMin), max(r.UMax, o.UMax), min(r.SMin, o.SMin), max(r.SMax, o.SMax)}
}

// widen lets go of the bounds of r that o exceeds.
func (r Range) widen(o Range, w uint8) Range {
	f := fullRange(w)
	if o.UMin < r.UMin {
		r.UMin = f.UMin
	}
	if o.UMax > r.UMax {
		r.UMax = f.UMax
	}
	if o.SMin < r.SMin {
		r.SMin = f.SMin
	}
	if o.SMax > r.SMax {
		r.SMax = f.SMax
	}
	return r
}

// Meet is the numbers in both sets.
func (n Num) Meet(o Num) Num {
	if (n.T.V^o.T.V)&^n.T.M&^o.T.M != 0 {
		return empty(n.W)
	}
	v := n.T.V | o.T.V
	m := n.T.M & o.T.M
	n.T = Tnum{v &^ m, m}
	n.Range = n.Range.meet(o.Range)
	n.Low = n.Low.meet(o.Low)
	return n.norm()
}

// Join contains both sets.
func (n Num) Join(o Num) Num {
	if n.Empty() {
		return o
	}
	if o.Empty() {
		return n
	}
	m := n.T.M | o.T.M | (n.T.V ^ o.T.V)
	n.T = Tnum{n.T.V &^ m, m}
	n.Range = n.Range.join(o.Range)
	n.Low = n.Low.join(o.Low)
	return n
}

// widen is a join that gives up moving bounds: chains of it are finite.
func (n Num) widen(o Num) Num {
	j := n.Join(o)
	j.Range = n.Range.widen(o.Range, n.W)
	if n.W == 64 {
		j.Low = n.Low.widen(o.Low, 32)
	}
	return j
}

// low is the set of the low 32 bits.
func (n Num) low() Num {
	return Num{W: 32, T: Tnum{n.T.V & mask(32), n.T.M & mask(32)}, Range: n.Low}
}

// withLow keeps the numbers whose low half is in l.
func (n Num) withLow(l Num) Num {
	if l.Empty() {
		return empty(64)
	}
	n.Low = n.Low.meet(l.Range)
	if (n.T.V^l.T.V)&mask(32)&^n.T.M&^l.T.M != 0 {
		return empty(64)
	}
	m := n.T.M & (l.T.M | ^mask(32))
	n.T = Tnum{(n.T.V | l.T.V) &^ m, m}
	return n.norm()
}

// norm lets the parts of n tell each other what they know.
func (n Num) norm() Num {
	for range 3 {
		before := n
		if !n.sync() {
			return empty(n.W)
		}
		if n.W == 64 {
			l := n.low()
			if n.UMin>>32 == n.UMax>>32 {
				l.UMin, l.UMax = max(l.UMin, n.UMin&mask(32)), min(l.UMax, n.UMax&mask(32))
			}
			if n.SMin >= math.MinInt32 && n.SMax <= math.MaxInt32 {
				l.SMin, l.SMax = max(l.SMin, n.SMin), min(l.SMax, n.SMax)
			}
			if !l.sync() {
				return empty(64)
			}
			n.Low = l.Range
			n.T.V |= l.T.V
			n.T.M &= l.T.M | ^mask(32)
			const sign = 1 << 63
			var ok [4]bool
			var smin, smax uint64
			n.UMin, ok[0] = l.atLeast(n.UMin)
			n.UMax, ok[1] = l.atMost(n.UMax)
			smin, ok[2] = l.atLeast(uint64(n.SMin) ^ sign)
			smax, ok[3] = l.atMost(uint64(n.SMax) ^ sign)
			n.SMin, n.SMax = int64(smin^sign), int64(smax^sign)
			if ok != [4]bool{true, true, true, true} {
				return empty(64)
			}
		}
		if n == before {
			break
		}
	}
	if n.Empty() {
		return empty(n.W)
	}
	return n
}

// atLeast is the smallest number of 64 bits from v on whose low half is in l, and
// atMost the largest up to v; false when there is none.
func (l Num) atLeast(v uint64) (uint64, bool) {
	hi, lo := v>>32, v&mask(32)
	if lo > l.UMax {
		hi, lo = hi+1, 0
	}
	return hi<<32 | max(lo, l.UMin), hi <= mask(32)
}

func (l Num) atMost(v uint64) (uint64, bool) {
	hi, lo := v>>32, v&mask(32)
	if lo < l.UMin {
		hi, lo = hi-1, mask(32)
	}
	return hi<<32 | min(lo, l.UMax), hi <= mask(32)
}

// sync exchanges knowledge between bits and both ranges at n's own width;
// false when nothing is left.
func (n *Num) sync() bool {
	w, sign := n.W, uint64(1)<<(n.W-1)
	n.UMin, n.UMax = max(n.UMin, n.T.V), min(n.UMax, n.T.V|n.T.M)
	n.SMin = max(n.SMin, sext(n.T.V|n.T.M&sign, w))
	n.SMax = min(n.SMax, sext(n.T.V|n.T.M&^sign, w))
	if n.Empty() {
		return false
	}
	if (n.UMin^n.UMax)&sign == 0 {
		n.SMin, n.SMax = max(n.SMin, sext(n.UMin, w)), min(n.SMax, sext(n.UMax, w))
	}
	if (n.SMin < 0) == (n.SMax < 0) {
		n.UMin, n.UMax = max(n.UMin, uint64(n.SMin)&mask(w)), min(n.UMax, uint64(n.SMax)&mask(w))
	}
	if n.Empty() {
		return false
	}
	// The bits above the highest that differs between the bounds are known.
	diff := n.UMin ^ n.UMax
	known := ^spread(diff) & mask(w)
	if (n.UMin^n.T.V)&known&^n.T.M != 0 {
		return false
	}
	n.T.M &^= known
	n.T.V |= n.UMin & known
	return true
}

// spread sets every bit below the highest one of v.
func spread(v uint64) uint64 {
	for s := uint(1); s < 64; s *= 2 {
		v |= v >> s
	}
	return v
}
