package smt

import (
	"context"
	"math/rand/v2"
	"testing"
)

// conjunction makes conditions as paths have them: comparisons of few terms,
// some of which contradict each other.
func conjunction(r *rand.Rand, c *Ctx) []Term {
	b := &both{r: r, norm: c, raw: NewCtx(Options{Raw: true})}
	w := []uint8{1, 8, 16, 32, 64}[r.IntN(5)]
	var parts []Term
	for range 1 + r.IntN(3) {
		parts = append(parts, b.term(w, r.IntN(4)).n)
	}
	small := r.IntN(2) == 0
	var out []Term
	for range 2 + r.IntN(5) {
		x := parts[r.IntN(len(parts))]
		y := b.konst(w).n
		if small {
			y = c.Const(uint64(r.IntN(12)), w)
		}
		switch r.IntN(5) {
		case 0:
			y = parts[r.IntN(len(parts))]
		case 1:
			if w > 8 {
				lo, n := uint8(r.IntN(int(w)-7)), uint8(8)
				if r.IntN(2) == 0 {
					lo, n = w-8, 8
				}
				x, y = c.Extract(x, lo, n), c.Extract(y, 0, n)
			}
		case 2:
			x = c.Add(x, b.konst(w).n)
		}
		var t Term
		switch r.IntN(4) {
		case 0, 1:
			t = c.Eq(x, y)
		case 2:
			t = c.Ult(x, y)
		case 3:
			t = c.Slt(x, y)
		}
		if r.IntN(2) == 0 {
			t = c.Not(t)
		}
		if r.IntN(6) == 0 && len(out) > 0 {
			t = c.Or(t, out[len(out)-1])
		}
		out = append(out, t)
	}
	return out
}

// What Quick says, a solver says, too; and it decides most.
func TestQuickAgreesWithTheSolver(t *testing.T) {
	n := 4 * *terms
	c := NewCtx(Options{})
	var s Solver
	count := map[Result]int{}
	for i := range n {
		if i%300 == 0 {
			c = NewCtx(Options{})
			s = backends(t, c)[0]
		}
		terms := conjunction(rand.New(rand.NewPCG(3, uint64(i))), c)
		q := c.Quick(terms...)
		count[q]++
		res, _, err := s.Check(context.Background(), Limits{}, terms...)
		if err != nil {
			t.Fatal(err)
		}
		if q != Unknown && res != Unknown && q != res {
			for _, x := range terms {
				t.Log(c.String(x))
			}
			t.Fatalf("conjunction %d: Quick says %v, the solver %v", i, q, res)
		}
	}
	t.Logf("%d unsatisfiable, %d satisfiable, %d undecided", count[Unsat], count[Sat], count[Unknown])
	if count[Unsat] < n/10 || count[Sat] < n/10 || count[Unknown] > n/4 {
		t.Errorf("of %d: %d unsatisfiable, %d satisfiable, %d undecided", n, count[Unsat], count[Sat], count[Unknown])
	}
}

func TestQuick(t *testing.T) {
	c := NewCtx(Options{})
	x, y := c.Var("x", 32), c.Var("y", 32)
	k := func(v uint64) Term { return c.Const(v, 32) }
	// Four bytes, of the lowest some upper bits.
	word := func(lo, n uint8) Term {
		t := c.Extract(c.Var("b0", 8), lo, n)
		for _, b := range []string{"b1", "b2", "b3"} {
			t = c.Concat(c.Var(b, 8), t)
		}
		return t
	}
	for _, e := range []struct {
		name  string
		want  Result
		terms []Term
	}{
		{"a value and its bits", Unsat, []Term{c.Eq(x, k(6)), c.Eq(c.And(x, k(1)), k(1))}},
		{"a value in a sum", Unsat, []Term{c.Ne(c.Add(x, y), k(9)), c.Eq(x, k(4)), c.Eq(y, k(5))}},
		{"bounds that exclude each other", Unsat, []Term{c.Ult(x, k(14)), c.Ult(k(14), x)}},
		{"bounds of upper bits", Unsat, []Term{c.Ult(c.LShr(x, k(4)), k(2)), c.Ult(k(31), x)}},
		{"signed bounds", Unsat, []Term{c.Slt(x, k(0)), c.Ult(x, k(5))}},
		{"one value left", Unsat, []Term{c.Ult(x, k(2)), c.Ne(x, k(0)), c.Ne(x, k(1))}},
		{"order", Unsat, []Term{c.Ult(x, y), c.Ult(y, x)}},
		{"equal terms", Unsat, []Term{c.Eq(x, y), c.Ne(c.Add(x, k(1)), c.Add(y, k(1)))}},
		{"a condition within another", Unsat, []Term{c.Or(c.Eq(x, k(1)), c.Eq(y, k(2))), c.Ne(x, k(1)), c.Ult(y, k(2))}},
		{"bytes and a bound on their upper bits", Unsat, []Term{c.Ult(word(1, 7), c.Const(3, 31)), c.Not(c.Ult(word(0, 8), k(7)))}},
		{"bytes of the one value left", Unsat, []Term{c.Ult(word(0, 8), k(7)), c.Not(c.Ult(word(1, 7), c.Const(3, 31))), c.Ne(c.Var("b0", 8), c.Const(6, 8))}},
		{"bits of a value", Unsat, []Term{c.Eq(c.Not(x), k(5)), c.Eq(c.Extract(x, 0, 2), c.Const(1, 2))}},
		{"a value", Sat, []Term{c.Ne(x, k(0)), c.Ult(x, k(12)), c.Eq(y, k(77))}},
	} {
		if got := c.Quick(e.terms...); got != e.want {
			t.Errorf("%s: %v, want %v", e.name, got, e.want)
		}
	}
	if got := NewCtx(Options{Raw: true}).Quick(); got != Unknown {
		t.Errorf("without normal forms: %v", got)
	}
}
