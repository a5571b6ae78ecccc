package smt

import (
	"context"
	"fmt"
	"testing"
)

// window is what a four-instruction window asks: can the two results differ?
// The normal forms alone would settle it, so the terms are left as written.
func window(c *Ctx, i int) Term {
	x, y := c.Var("x", 64), c.Var("y", 64)
	k := func(v uint64) Term { return c.Const(v, 64) }
	n := uint64(1 + i%31)
	a := c.Add(c.And(c.LShr(x, k(n)), k(0xff)), c.Xor(y, k(uint64(i))))
	b := c.Add(c.LShr(c.And(x, k(0xff<<n)), k(n)), c.Sub(c.Or(y, k(uint64(i))), c.And(y, k(uint64(i)))))
	return c.Not(c.Eq(a, b))
}

func BenchmarkWindow(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			c := NewCtx(Options{Raw: true})
			s, err := Open(c, name)
			if err != nil {
				b.Skip(err)
			}
			defer s.Close()
			for i := 0; b.Loop(); i++ {
				if r, _, err := s.Check(context.Background(), Limits{}, window(c, i)); r != Unsat {
					b.Fatal(r, err)
				}
			}
		})
	}
}

func BenchmarkNormalForm(b *testing.B) {
	for i := 0; b.Loop(); i++ {
		c := NewCtx(Options{})
		x := c.Var("x", 64)
		t := c.Const(0, 64)
		for k := range uint64(8) {
			byteK := c.And(c.LShr(x, c.Const(8*k, 64)), c.Const(0xff, 64))
			t = c.Or(t, c.Shl(byteK, c.Const(8*k, 64)))
		}
		if t != x {
			b.Fatal(fmt.Sprint(i, c.String(t)))
		}
	}
}
