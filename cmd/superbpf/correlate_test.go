package main

import "testing"

func TestSpearman(t *testing.T) {
	x := []float64{1, 2, 3, 4}
	for _, c := range []struct {
		y    []float64
		want float64
	}{{[]float64{10, 200, 3000, 40000}, 1}, {[]float64{4, 3, 2, 1}, -1}, {[]float64{2, 1, 4, 3}, 0.6}, {[]float64{1, 1, 2, 2}, 0.894427190999916}} {
		if got := spearman(x, c.y); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("%v: %g, want %g", c.y, got, c.want)
		}
	}
}
