package smt

import "testing"

// A function's name and its arguments are never mistaken for each other:
// names come from objects, such as the names of maps.
func TestDistinctApplications(t *testing.T) {
	c := NewCtx(Options{})
	x := c.Var("x", 8)
	for c.Len() < 127 {
		x = c.UF("f", 8, x)
	}
	for a := Term(1); a < 127; a++ {
		if c.UF(string(rune(a))+"f", 8) == c.UF("f", 8, a) {
			t.Fatalf("argument %d was read as part of the name", a)
		}
	}
}

// Terms with shared parts stay small and quick to make, though each round
// mentions the one before several times.
func TestSharedParts(t *testing.T) {
	c := NewCtx(Options{})
	x, y := c.Var("x", 64), c.Var("y", 64)
	p := c.Eq(x, y)
	for i := range 60 {
		cond := c.Var(string(rune('A'+i)), 1)
		x = c.Ite(cond, c.BSwap(c.Not(x)), c.Xor(x, c.Const(uint64(i)<<20|1, 64)))
		p = c.Or(c.And(p, cond), c.And(c.Not(p), c.Eq(x, c.Ite(cond, y, x))))
	}
	c.Eq(x, c.BSwap(x))
	if c.Len() > 100_000 {
		t.Errorf("%d terms", c.Len())
	}
}
