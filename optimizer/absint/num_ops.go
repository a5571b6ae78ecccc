package absint

import (
	"math"
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// binary is the abstract form of a term's operation on numbers of w bits.
func binary(op isa.ExprOp, w uint8, a, b Num) Num {
	if a.Empty() || b.Empty() {
		if op >= isa.ExprEq {
			return empty(1)
		}
		return empty(w)
	}
	if op >= isa.ExprEq && op <= isa.ExprSle {
		return compare(op, a, b)
	}
	n := core(op, w, a, b)
	if w == 64 {
		switch op {
		case isa.ExprAdd, isa.ExprSub, isa.ExprMul, isa.ExprAnd, isa.ExprOr, isa.ExprXor:
			n = n.withLow(core(op, 32, a.low(), b.low()))
		case isa.ExprShl:
			if k, ok := b.IsConst(); ok && k < 32 {
				n = n.withLow(core(op, 32, a.low(), Const(k, 32)))
			} else if ok && k == 32 {
				n.SMin, n.SMax = max(n.SMin, a.Low.SMin<<32), min(n.SMax, a.Low.SMax<<32)
				n.UMin, n.UMax = max(n.UMin, a.Low.UMin<<32), min(n.UMax, a.Low.UMax<<32)
				n = n.norm()
			}
		}
	}
	return n
}

func core(op isa.ExprOp, w uint8, a, b Num) Num {
	if x, ok := a.IsConst(); ok {
		if y, ok := b.IsConst(); ok {
			if v, ok := fold(op, w, x, y); ok {
				return Const(v, w)
			}
		}
	}
	n := Full(w)
	m := mask(w)
	switch op {
	case isa.ExprAdd:
		n.T = tnumAdd(a.T, b.T, w)
		lo, c1 := bits.Add64(a.UMin, b.UMin, 0)
		hi, c2 := bits.Add64(a.UMax, b.UMax, 0)
		if w < 64 {
			c1, c2 = lo>>w, hi>>w
		}
		if c1 == c2 {
			n.UMin, n.UMax = lo&m, hi&m
		}
		n.signed(a.SMin+b.SMin, a.SMax+b.SMax, addOverflows(a.SMin, b.SMin, w) || addOverflows(a.SMax, b.SMax, w))
	case isa.ExprSub:
		n.T = tnumSub(a.T, b.T, w)
		lo, c1 := bits.Sub64(a.UMin, b.UMax, 0)
		hi, c2 := bits.Sub64(a.UMax, b.UMin, 0)
		if c1 == c2 {
			n.UMin, n.UMax = lo&m, hi&m
		}
		n.signed(a.SMin-b.SMax, a.SMax-b.SMin, subOverflows(a.SMin, b.SMax, w) || subOverflows(a.SMax, b.SMin, w))
	case isa.ExprMul:
		n.T = tnumMul(a.T, b.T, w)
		if h, l := bits.Mul64(a.UMax, b.UMax); h == 0 && l <= m {
			n.UMin, n.UMax = a.UMin*b.UMin, l
		}
		lo, hi, over := int64(math.MaxInt64), int64(math.MinInt64), false
		for _, x := range []int64{a.SMin, a.SMax} {
			for _, y := range []int64{b.SMin, b.SMax} {
				v := x * y
				lo, hi = min(lo, v), max(hi, v)
				over = over || x != 0 && (v/x != y || x == -1 && y == math.MinInt64) || sext(uint64(v), w) != v
			}
		}
		n.signed(lo, hi, over)
	case isa.ExprAnd:
		v := a.T.V & b.T.V
		n.T = Tnum{v, (a.T.V | a.T.M) & (b.T.V | b.T.M) &^ v}
		n.UMax = min(a.UMax, b.UMax)
	case isa.ExprOr:
		v := a.T.V | b.T.V
		n.T = Tnum{v, (a.T.M | b.T.M) &^ v}
		n.UMin = max(a.UMin, b.UMin)
	case isa.ExprXor:
		x := a.T.M | b.T.M
		n.T = Tnum{(a.T.V ^ b.T.V) &^ x, x}
	case isa.ExprShl, isa.ExprLShr, isa.ExprAShr:
		n.shift(op, a, b)
	case isa.ExprUDiv:
		// The rows guard the zero divisor, so it need not be covered here.
		n.UMin, n.UMax = a.UMin/max(b.UMax, 1), a.UMax/max(b.UMin, 1)
	case isa.ExprURem:
		if a.UMax < b.UMin {
			return a
		}
		n.UMax = min(a.UMax, max(b.UMax, 1)-1)
	case isa.ExprSDiv:
		if a.SMin >= 0 && b.SMin >= 0 {
			n.UMin, n.UMax = a.UMin/max(b.UMax, 1), a.UMax/max(b.UMin, 1)
		}
	case isa.ExprSRem:
		// The result has the dividend's sign and is no larger.
		n.SMin, n.SMax = min(a.SMin, 0), max(a.SMax, 0)
	}
	return n.norm()
}

func (n *Num) signed(lo, hi int64, overflow bool) {
	if !overflow {
		n.SMin, n.SMax = lo, hi
	}
}

func addOverflows(a, b int64, w uint8) bool {
	s := a + b
	return w == 64 && (a < 0) == (b < 0) && (s < 0) != (a < 0) || s != sext(uint64(s), w)
}

func subOverflows(a, b int64, w uint8) bool {
	s := a - b
	return w == 64 && (a < 0) != (b < 0) && (s < 0) != (a < 0) || s != sext(uint64(s), w)
}

// shift sets n to a shifted by b. The rows mask amounts to below the width.
func (n *Num) shift(op isa.ExprOp, a, b Num) {
	w, m := n.W, mask(n.W)
	if b.UMax >= uint64(w) {
		return
	}
	lo, hi := uint(b.UMin), uint(b.UMax)
	switch op {
	case isa.ExprShl:
		if a.UMax<<hi>>hi == a.UMax && a.UMax<<hi <= m {
			n.UMin, n.UMax = a.UMin<<lo, a.UMax<<hi
		}
		fits := func(v int64) bool { return v<<hi>>hi == v && sext(uint64(v<<hi), w) == v<<hi }
		if lo == hi && fits(a.SMin) && fits(a.SMax) {
			n.SMin, n.SMax = a.SMin<<hi, a.SMax<<hi
		}
		if lo == hi {
			n.T = Tnum{a.T.V << lo & m, a.T.M << lo & m}
		}
	case isa.ExprLShr:
		n.UMin, n.UMax = a.UMin>>hi, a.UMax>>lo
		if lo == hi {
			n.T = Tnum{a.T.V >> lo, a.T.M >> lo}
		}
	case isa.ExprAShr:
		n.SMin, n.SMax = min(a.SMin>>lo, a.SMin>>hi), max(a.SMax>>lo, a.SMax>>hi)
		if lo == hi {
			n.T = Tnum{uint64(sext(a.T.V, w)>>lo) & m, uint64(sext(a.T.M, w)>>lo) & m}
			n.T.V &^= n.T.M
		}
	}
}

func tnumAdd(a, b Tnum, w uint8) Tnum {
	sv, sm := a.V+b.V, a.M+b.M
	mu := ((sm + sv) ^ sv) | a.M | b.M
	return Tnum{sv &^ mu & mask(w), mu & mask(w)}
}

func tnumSub(a, b Tnum, w uint8) Tnum {
	dv := a.V - b.V
	mu := ((dv + a.M) ^ (dv - b.M)) | a.M | b.M
	return Tnum{dv &^ mu & mask(w), mu & mask(w)}
}

// tnumMul adds the partial products of a's certain and possible bits.
func tnumMul(a, b Tnum, w uint8) Tnum {
	v := a.V * b.V
	var acc Tnum
	for a.V|a.M != 0 {
		switch {
		case a.V&1 != 0:
			acc = tnumAdd(acc, Tnum{0, b.M}, 64)
		case a.M&1 != 0:
			acc = tnumAdd(acc, Tnum{0, b.V | b.M}, 64)
		}
		a.V, a.M = a.V>>1, a.M>>1
		b.V, b.M = b.V<<1, b.M<<1
	}
	return tnumAdd(Tnum{V: v}, acc, w)
}

// compare decides a comparison, if the sets allow.
func compare(op isa.ExprOp, a, b Num) Num {
	var yes, no bool
	switch op {
	case isa.ExprEq:
		x, cx := a.IsConst()
		y, cy := b.IsConst()
		yes = cx && cy && x == y
		no = a.Meet(b).Empty()
	case isa.ExprUlt:
		yes, no = a.UMax < b.UMin, a.UMin >= b.UMax
	case isa.ExprUle:
		yes, no = a.UMax <= b.UMin, a.UMin > b.UMax
	case isa.ExprSlt:
		yes, no = a.SMax < b.SMin, a.SMin >= b.SMax
	case isa.ExprSle:
		yes, no = a.SMax <= b.SMin, a.SMin > b.SMax
	}
	switch {
	case yes:
		return Const(1, 1)
	case no:
		return Const(0, 1)
	}
	return Full(1)
}

// fold computes on constants; false for divisions by zero.
func fold(op isa.ExprOp, w uint8, x, y uint64) (uint64, bool) {
	switch op {
	case isa.ExprAdd:
		return x + y, true
	case isa.ExprSub:
		return x - y, true
	case isa.ExprMul:
		return x * y, true
	case isa.ExprAnd:
		return x & y, true
	case isa.ExprOr:
		return x | y, true
	case isa.ExprXor:
		return x ^ y, true
	case isa.ExprShl:
		return x << y, y < uint64(w)
	case isa.ExprLShr:
		return x >> y, y < uint64(w)
	case isa.ExprAShr:
		return uint64(sext(x, w) >> (y & 63)), y < uint64(w)
	}
	if y == 0 {
		return 0, false
	}
	switch op {
	case isa.ExprUDiv:
		return x / y, true
	case isa.ExprURem:
		return x % y, true
	case isa.ExprSDiv:
		if sext(y, w) == -1 {
			return -x, true
		}
		return uint64(sext(x, w) / sext(y, w)), true
	case isa.ExprSRem:
		if sext(y, w) == -1 {
			return 0, true
		}
		return uint64(sext(x, w) % sext(y, w)), true
	}
	return 0, false
}
