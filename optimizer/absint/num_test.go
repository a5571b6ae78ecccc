package absint

import (
	"math/rand/v2"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
)

var binaries = []isa.ExprOp{isa.ExprAdd, isa.ExprSub, isa.ExprMul, isa.ExprUDiv, isa.ExprURem, isa.ExprSDiv, isa.ExprSRem, isa.ExprAnd,
	isa.ExprOr, isa.ExprXor, isa.ExprShl, isa.ExprLShr, isa.ExprAShr, isa.ExprEq, isa.ExprUlt, isa.ExprUle, isa.ExprSlt, isa.ExprSle}

func truth(op isa.ExprOp, w uint8, x, y uint64) (uint64, bool) {
	b := func(c bool) (uint64, bool) {
		if c {
			return 1, true
		}
		return 0, true
	}
	switch op {
	case isa.ExprEq:
		return b(x == y)
	case isa.ExprUlt:
		return b(x < y)
	case isa.ExprUle:
		return b(x <= y)
	case isa.ExprSlt:
		return b(sext(x, w) < sext(y, w))
	case isa.ExprSle:
		return b(sext(x, w) <= sext(y, w))
	}
	v, ok := fold(op, w, x, y)
	return v & mask(w), ok
}

// Every operation on every pair of sets of three bits: no concrete result may
// be missing from the abstract one.
func TestOperationsExhaustively(t *testing.T) {
	const w = 3
	var sets []Num
	seen := map[Num]bool{}
	for v := uint64(0); v < 8; v++ {
		for m := uint64(0); m < 8; m++ {
			for lo := uint64(0); lo < 8; lo++ {
				n := Full(w)
				n.T = Tnum{v &^ m, m}
				n.UMin = lo
				for _, smax := range []int64{3, 1, -1, -3} {
					k := n
					k.SMax = smax
					if k = k.norm(); !k.Empty() && !seen[k] {
						seen[k] = true
						sets = append(sets, k)
					}
				}
			}
		}
	}
	for _, op := range binaries {
		for _, a := range sets {
			for _, b := range sets {
				r := binary(op, w, a, b)
				for x := uint64(0); x < 8; x++ {
					for y := uint64(0); y < 8; y++ {
						if !a.Has(x) || !b.Has(y) {
							continue
						}
						if v, ok := truth(op, w, x, y); ok && !r.Has(v) {
							t.Fatalf("op %d: %d in %v, %d in %v: %d not in %v", op, x, a, y, b, v, r)
						}
					}
				}
			}
		}
	}
}

func randomNum(r *rand.Rand, x uint64) Num {
	n := Const(x, 64)
	for range r.IntN(4) {
		switch r.IntN(3) {
		case 0:
			n = n.Join(Const(x^r.Uint64()>>r.IntN(64), 64))
		case 1:
			n = n.Join(Const(x+uint64(r.IntN(100)), 64))
		case 2:
			n.T.M |= 1 << r.IntN(64)
			n.T.V &^= n.T.M
			n.Range, n.Low = fullRange(64), fullRange(32)
			n = n.norm()
		}
	}
	return n
}

func TestOperationsOn64Bits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	o := &operands{}
	for range 200000 {
		x, y := r.Uint64()>>r.IntN(64), r.Uint64()>>r.IntN(64)
		if r.IntN(3) == 0 {
			x = -x
		}
		a := randomNum(r, x)
		if !a.Has(x) {
			t.Fatalf("%#x not in %v", x, a)
		}
		op := binaries[r.IntN(len(binaries))]
		if op == isa.ExprShl || op == isa.ExprLShr || op == isa.ExprAShr {
			y &= 63
		}
		b := randomNum(r, y)
		v, ok := truth(op, 64, x, y)
		if n := binary(op, 64, a, b); ok && !n.Has(v) {
			t.Fatalf("op %d: %#x in %v, %#x in %v: %#x not in %v", op, x, a, y, b, v, n)
		}
		for _, w := range []uint8{8, 16, 32} {
			e := o.Extract(64, 0, w, a)
			if !e.Has(x&mask(w)) || !o.ZExt(w, 64, e).Has(x&mask(w)) || !o.SExt(w, 64, e).Has(uint64(sext(x, w))) {
				t.Fatalf("%#x in %v: low %d bits not in %v", x, a, w, e)
			}
		}
	}
}
