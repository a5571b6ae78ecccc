package smt

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
)

// both builds the same random term in a normalizing and in a raw context.
type both struct {
	r    *rand.Rand
	norm *Ctx
	raw  *Ctx
	made map[uint8][]pair // by width, to be used again
}

type pair struct{ n, r Term }

var widths = []uint8{1, 7, 8, 16, 24, 32, 48, 63, 64}

var corners = []uint64{0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
	0x7fffffffffffffff, 0x8000000000000000, ^uint64(0), ^uint64(0) - 1, 0xff00ff00ff00ff00}

func (b *both) konst(w uint8) pair {
	v := corners[b.r.IntN(len(corners))]
	if b.r.IntN(4) == 0 {
		v = b.r.Uint64()
	}
	return pair{b.norm.Const(v, w), b.raw.Const(v, w)}
}

// term makes a random term; one in five is a term made before, since the
// rules about equal and overlapping parts need some.
func (b *both) term(w uint8, depth int) pair {
	if old := b.made[w]; len(old) > 0 && b.r.IntN(5) == 0 {
		return old[b.r.IntN(len(old))]
	}
	p := b.fresh(w, depth)
	if b.made == nil {
		b.made = map[uint8][]pair{}
	}
	b.made[w] = append(b.made[w], p)
	return p
}

// slices joins pieces of one term in random order by shifts, masks and ors or
// sums, as compiled code does with bytes.
func (b *both) slices(w uint8, depth int) pair {
	x := b.term(w, depth-1)
	p := pair{b.norm.Const(0, w), b.raw.Const(0, w)}
	for range 2 + b.r.IntN(4) {
		n := 1 + uint8(b.r.IntN(int(w)))
		if w > 8 {
			n = 8 * (1 + uint8(b.r.IntN(int(w)/8)))
		}
		from, to := uint8(b.r.IntN(int(w-n)+1))&^7, uint64(b.r.IntN(int(w)))&^7
		piece := func(c *Ctx, t, sum Term, kind int) Term {
			t = c.Shl(c.ZExt(c.Extract(t, from, n), w), c.Const(to, w))
			switch kind {
			case 0:
				return c.Add(sum, t)
			case 1:
				return c.Xor(sum, t)
			}
			return c.Or(sum, t)
		}
		kind := b.r.IntN(4)
		p = pair{piece(b.norm, x.n, p.n, kind), piece(b.raw, x.r, p.r, kind)}
	}
	return p
}

func (b *both) fresh(w uint8, depth int) pair {
	if depth == 0 || b.r.IntN(8) == 0 {
		if b.r.IntN(4) == 0 {
			return b.konst(w)
		}
		name := fmt.Sprintf("v%d_%d", w, b.r.IntN(2))
		return pair{b.norm.Var(name, w), b.raw.Var(name, w)}
	}
	sub := func(w uint8) pair { return b.term(w, depth-1) }
	bin := func(fn, fr func(x, y Term) Term) pair {
		x, y := sub(w), sub(w)
		return pair{fn(x.n, y.n), fr(x.r, y.r)}
	}
	if w == 1 && b.r.IntN(2) == 0 {
		v := widths[b.r.IntN(len(widths))]
		x, y := sub(v), sub(v)
		if b.r.IntN(3) == 0 {
			y = b.konst(v)
		}
		switch b.r.IntN(5) {
		case 0:
			return pair{b.norm.Eq(x.n, y.n), b.raw.Eq(x.r, y.r)}
		case 1:
			return pair{b.norm.Ult(x.n, y.n), b.raw.Ult(x.r, y.r)}
		case 2:
			return pair{b.norm.Ule(x.n, y.n), b.raw.Ule(x.r, y.r)}
		case 3:
			return pair{b.norm.Slt(x.n, y.n), b.raw.Slt(x.r, y.r)}
		}
		return pair{b.norm.Sle(x.n, y.n), b.raw.Sle(x.r, y.r)}
	}
	switch b.r.IntN(22) {
	case 19:
		return b.slices(w, depth)
	case 20:
		return bin(b.norm.Mul, b.raw.Mul)
	case 21:
		switch b.r.IntN(4) {
		case 0:
			return bin(b.norm.UDiv, b.raw.UDiv)
		case 1:
			return bin(b.norm.URem, b.raw.URem)
		case 2:
			return bin(b.norm.SDiv, b.raw.SDiv)
		}
		return bin(b.norm.SRem, b.raw.SRem)
	case 0, 1:
		return bin(b.norm.Add, b.raw.Add)
	case 2:
		return bin(b.norm.Sub, b.raw.Sub)
	case 3:
		x, y := sub(w), b.konst(w)
		return pair{b.norm.Mul(x.n, y.n), b.raw.Mul(x.r, y.r)}
	case 4:
		return bin(b.norm.And, b.raw.And)
	case 5:
		return bin(b.norm.Or, b.raw.Or)
	case 6:
		return bin(b.norm.Xor, b.raw.Xor)
	case 7:
		x := sub(w)
		return pair{b.norm.Not(x.n), b.raw.Not(x.r)}
	case 8, 9, 10:
		x := sub(w)
		k := uint64(b.r.IntN(int(w) + 2))
		y := pair{b.norm.Const(k, w), b.raw.Const(k, w)}
		if b.r.IntN(6) == 0 {
			y = sub(w)
		}
		switch b.r.IntN(3) {
		case 0:
			return pair{b.norm.Shl(x.n, y.n), b.raw.Shl(x.r, y.r)}
		case 1:
			return pair{b.norm.LShr(x.n, y.n), b.raw.LShr(x.r, y.r)}
		}
		return pair{b.norm.AShr(x.n, y.n), b.raw.AShr(x.r, y.r)}
	case 11, 12:
		c, x, y := sub(1), sub(w), sub(w)
		return pair{b.norm.Ite(c.n, x.n, y.n), b.raw.Ite(c.r, x.r, y.r)}
	case 13:
		if w < 2 {
			break
		}
		l := 1 + uint8(b.r.IntN(int(w)-1))
		hi, lo := sub(w-l), sub(l)
		return pair{b.norm.Concat(hi.n, lo.n), b.raw.Concat(hi.r, lo.r)}
	case 14:
		v := w + uint8(b.r.IntN(int(65-w)))
		lo := uint8(b.r.IntN(int(v-w) + 1))
		x := sub(v)
		return pair{b.norm.Extract(x.n, lo, w), b.raw.Extract(x.r, lo, w)}
	case 15:
		v := 1 + uint8(b.r.IntN(int(w)))
		x := sub(v)
		if b.r.IntN(2) == 0 {
			return pair{b.norm.ZExt(x.n, w), b.raw.ZExt(x.r, w)}
		}
		return pair{b.norm.SExt(x.n, w), b.raw.SExt(x.r, w)}
	case 16:
		x, y := sub(w), b.konst(w)
		if b.r.IntN(3) == 0 {
			y = sub(w)
		}
		switch b.r.IntN(4) {
		case 0:
			return pair{b.norm.UDiv(x.n, y.n), b.raw.UDiv(x.r, y.r)}
		case 1:
			return pair{b.norm.URem(x.n, y.n), b.raw.URem(x.r, y.r)}
		case 2:
			return pair{b.norm.SDiv(x.n, y.n), b.raw.SDiv(x.r, y.r)}
		}
		return pair{b.norm.SRem(x.n, y.n), b.raw.SRem(x.r, y.r)}
	case 17:
		if w%8 == 0 {
			x := sub(w)
			return pair{b.norm.BSwap(x.n), b.raw.BSwap(x.r)}
		}
	case 18:
		x, y := sub(w), b.konst(w)
		return pair{b.norm.And(x.n, y.n), b.raw.And(x.r, y.r)}
	}
	return bin(b.norm.Add, b.raw.Add)
}

// Every normal form has the value of the term as written.
func TestNormalFormsKeepTheValue(t *testing.T) {
	const seed = 1
	n := 15000
	if testing.Short() {
		n = 5000
	}
	for i := range n {
		checkNormal(t, rand.New(rand.NewPCG(seed, uint64(i))), fmt.Sprint(i))
		if t.Failed() {
			return
		}
	}
}

func checkNormal(t *testing.T, r *rand.Rand, name string) {
	b := &both{r: r, norm: NewCtx(Options{}), raw: NewCtx(Options{Raw: true})}
	p := b.term(widths[r.IntN(len(widths))], 1+r.IntN(5))
	for range 12 {
		an, ar := Assignment{}, Assignment{}
		for w := uint8(1); w <= 64; w++ {
			for i := range 2 {
				v := corners[r.IntN(len(corners))]
				if r.IntN(2) == 0 {
					v = r.Uint64()
				}
				nm := fmt.Sprintf("v%d_%d", w, i)
				an[b.norm.Var(nm, w)], ar[b.raw.Var(nm, w)] = v, v
			}
		}
		got, want := b.norm.Eval(p.n, an), b.raw.Eval(p.r, ar)
		if got != want {
			t.Errorf("term %s: normal form gives %#x, as written %#x\nnormal %s\nraw    %s", name, got, want, b.norm.String(p.n), b.raw.String(p.r))
			return
		}
		z, o := b.norm.Known(p.n)
		if got&z != 0 || ^got&o != 0 {
			t.Errorf("term %s: value %#x against known zeros %#x, ones %#x\n%s", name, got, z, o, b.norm.String(p.n))
			return
		}
	}
}

func FuzzNormalize(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { checkNormal(t, rand.New(rand.NewPCG(a, b)), fmt.Sprint(a, b)) })
}

func backends(t *testing.T, c *Ctx) []Solver {
	var out []Solver
	for _, name := range append(Names(), "portfolio") {
		s, err := Open(c, name)
		if err != nil {
			if os.Getenv("SUPERBPF_REQUIRE_Z3") != "" && name != "cvc5" && name != "portfolio" {
				t.Fatalf("%s: %v", name, err)
			}
			t.Logf("%s: %v", name, err)
			continue
		}
		t.Cleanup(func() { s.Close() })
		out = append(out, s)
	}
	if len(out) == 0 {
		t.Skip("no solver")
	}
	return out
}

var terms = flag.Int("terms", 300, "number of random terms that a solver proves equal to their normal forms")

// A solver agrees that a term as written equals its normal form: both forms
// live in one raw context, the normal one rebuilt node by node.
func TestSolverProvesNormalForms(t *testing.T) {
	raw := NewCtx(Options{Raw: true})
	for _, s := range backends(t, raw) {
		unknown, n := 0, *terms
		if s.Name() != "z3" && s.Name() != "go-z3" {
			n /= 5 // slower
		}
		for i := range n {
			b := &both{r: rand.New(rand.NewPCG(7, uint64(i))), norm: NewCtx(Options{}), raw: raw}
			p := b.term(widths[b.r.IntN(len(widths))], 3)
			copied := transfer(b.norm, raw, p.n, map[Term]Term{})
			res, _, err := s.Check(context.Background(), Limits{}, raw.Not(raw.Eq(copied, p.r)))
			if err != nil {
				t.Fatalf("%s: %v", s.Name(), err)
			}
			if res == Sat {
				t.Fatalf("%s: term %d: normal form differs\nnormal %s\nraw    %s", s.Name(), i, b.norm.String(p.n), raw.String(p.r))
			}
			if res == Unknown {
				unknown++
			}
		}
		if unknown > n/5 {
			t.Errorf("%s: %d of %d undecided", s.Name(), unknown, n)
		}
		if st := s.Stats(); st.Checks() != n || st.Unknown != unknown || st.Errors != 0 {
			t.Errorf("%s: statistics %+v after %d checks with %d unknown", s.Name(), st, n, unknown)
		}
	}
}

func transfer(from, to *Ctx, t Term, memo map[Term]Term) Term {
	if u, ok := memo[t]; ok {
		return u
	}
	n := *from.Node(t)
	args := make([]Term, len(n.Args))
	for i, a := range n.Args {
		args[i] = transfer(from, to, a, memo)
	}
	n.Args, n.zeros, n.ones = nil, 0, 0
	u := to.intern(n, args...)
	memo[t] = u
	return u
}

func TestSolverModels(t *testing.T) {
	c := NewCtx(Options{})
	x, y := c.Var("x", 64), c.Var("y", 64)
	goal := []Term{c.Eq(c.Mul(x, y), c.Const(0x1234567, 64)), c.Ult(c.Const(1, 64), x), c.Ult(x, y)}
	for _, s := range backends(t, c) {
		res, as, err := s.Check(context.Background(), Limits{Wall: 20e9, Steps: 100_000_000}, goal...)
		if err != nil || res == Unsat {
			t.Fatalf("%s: %v %v", s.Name(), res, err)
		}
		for _, g := range goal {
			if res == Sat && c.Eval(g, as) != 1 {
				t.Errorf("%s: the model does not satisfy %s", s.Name(), c.String(g))
			}
		}
		res, _, err = s.Check(context.Background(), Limits{}, c.Ult(x, y), c.Ult(y, x))
		if err != nil || res != Unsat {
			t.Errorf("%s: x < y < x: %v %v", s.Name(), res, err)
		}
	}
}

// A product is taken for a quotient exactly where it is one: checked around the
// multiples of the divisor, where the two would part first.
func TestMultiplier(t *testing.T) {
	const seed = 2
	r := rand.New(rand.NewPCG(seed, seed))
	taken := 0
	for range 200000 {
		n := uint8(1 + r.IntN(40))
		s := uint8(1 + r.IntN(63))
		m := r.Uint64() >> r.IntN(64)
		if y := r.Uint64()>>r.IntN(64) | 1; r.IntN(2) == 0 {
			m = 1<<s/y + uint64(r.IntN(3)) - 1 // close to a multiplier of y
		}
		y, ok := multiplier(m, mask(n), s, 64)
		if !ok {
			continue
		}
		taken++
		for range 8 {
			x := y*(r.Uint64()>>r.IntN(64)) - uint64(r.IntN(2))
			for _, x := range []uint64{x & mask(n), mask(n), (mask(n)/y*y - 1) & mask(n)} {
				if x*m>>s != x/y {
					t.Fatalf("%d * %#x >> %d is %d, %d / %d is %d", x, m, s, x*m>>s, x, y, x/y)
				}
			}
		}
	}
	if taken < 1000 {
		t.Errorf("only %d multipliers", taken)
	}
}

func TestOneForm(t *testing.T) {
	c := NewCtx(Options{})
	x, y := c.Var("x", 64), c.Var("y", 64)
	k := func(v uint64) Term { return c.Const(v, 64) }
	b := func(i uint8) Term { return c.ZExt(c.Extract(x, 8*i, 8), 64) }
	low := c.And(x, k(0xffffffff))
	half := c.Add(c.And(x, k(0xffff)), c.LShr(low, k(16)))
	for _, e := range []struct {
		name string
		a, b Term
	}{
		{"sum", c.Sub(c.Add(c.Add(x, k(3)), c.Sub(y, k(1))), x), c.Add(y, k(2))},
		{"zero extension", c.LShr(c.Shl(x, k(32)), k(32)), c.And(x, k(0xffffffff))},
		{"sign extension", c.AShr(c.Shl(x, k(56)), k(56)), c.SExt(c.Extract(x, 0, 8), 64)},
		{"bytes to a halfword", c.Or(c.Shl(b(1), k(8)), b(0)), c.And(x, k(0xffff))},
		{"bytes added", c.Add(c.Shl(b(1), k(8)), b(0)), c.And(x, k(0xffff))},
		{"swap twice", c.BSwap(c.BSwap(x)), x},
		{"be16", c.Or(c.Shl(b(0), k(8)), b(1)), c.ZExt(c.BSwap(c.Extract(x, 0, 16)), 64)},
		{"low word of a sum", c.And(c.Add(x, y), k(0xffffffff)), c.ZExt(c.Add(c.Extract(x, 0, 32), c.Extract(y, 0, 32)), 64)},
		{"multiple", c.Add(c.Shl(x, k(3)), x), c.Mul(x, k(9))},
		{"multiple of a zero extension", c.Add(c.Shl(b(0), k(2)), b(0)), c.Mul(b(0), k(5))},
		{"sum with an or", c.Add(c.Or(c.Shl(x, k(2)), k(3)), y), c.Add(c.Add(y, k(3)), c.Mul(x, k(4)))},
		{"sum of a sum without carry", c.Add(c.Or(c.Shl(b(0), k(8)), k(0x10001)), c.Sub(y, k(1))), c.Add(c.Shl(b(0), k(8)), c.Add(y, k(0x10000)))},
		{"exclusive or without common bits", c.Xor(c.Shl(x, k(8)), c.And(y, k(0xff))), c.Or(c.Shl(x, k(8)), c.And(y, k(0xff)))},
		{"compare", c.Ult(k(4), x), c.Not(c.Ult(x, k(5)))},
		{"quotient by multiplication", c.LShr(c.Mul(low, k(0xcccccccd)), k(35)), c.ZExt(c.UDiv(c.Extract(x, 0, 32), c.Const(10, 32)), 64)},
		{"remainder by multiplication", c.Sub(low, c.Mul(c.LShr(c.Mul(low, k(0xffff0001)), k(48)), k(65537))), c.ZExt(c.URem(c.Extract(x, 0, 32), c.Const(65537, 32)), 64)},
		{"signed quotient", c.Ite(c.Slt(x, k(0)), c.Neg(c.UDiv(c.Neg(x), k(1000))), c.UDiv(x, k(1000))), c.SDiv(x, k(1000))},
		{"remainder of halves", c.URem(low, c.LShr(y, k(32))), c.ZExt(c.URem(c.Extract(x, 0, 32), c.Extract(y, 32, 32)), 64)},
		{"rotation by multiplication", c.Extract(c.LShr(c.Mul(low, k(twice)), k(18)), 0, 32), c.Extract(c.Or(c.Shl(x, k(14)), c.LShr(low, k(18))), 0, 32)},
		{"sum of a rotated number", c.Extract(c.Xor(c.ZExt(c.Extract(c.Mul(low, k(twice)), 18, 32), 64), c.And(y, k(0xffffffff))), 0, 32),
			c.Extract(c.Xor(c.Or(c.Shl(x, k(14)), c.LShr(low, k(18))), y), 0, 32)},
		{"ones' complement by multiplication", c.Extract(c.Mul(low, k(thrice)), 40, 8), c.Extract(c.Add(half, c.LShr(half, k(16))), 8, 8)},
		{"equal after subtraction", c.Eq(c.Sub(x, y), k(0)), c.Eq(x, y)},
	} {
		if e.a != e.b {
			t.Errorf("%s: %s and %s", e.name, c.String(e.a), c.String(e.b))
		}
	}
}
