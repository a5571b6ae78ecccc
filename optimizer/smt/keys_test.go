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
