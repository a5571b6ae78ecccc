package equiv

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/smt"
)

// maxRaises bounds how often the largest value of a location may grow before it
// counts as unbounded: a loop's counter grows each time around.
const maxRaises = 4

// unbounded is the largest value of what nothing is known of.
const unbounded = ^uint64(0)

// upper holds upper bounds of terms of one width.
type upper struct {
	width uint8
	of    map[smt.Term]uint64
}

// bounds collects the upper bounds by constants among the conditions.
func (s *sim) bounds(conds []smt.Term) []upper {
	var out []upper
	for _, t := range conds {
		n := s.c.Node(t)
		if n.Op != smt.OpUlt && n.Op != smt.OpEq {
			continue
		}
		b, ok := s.c.IsConst(n.Args[1])
		if !ok || n.Op == smt.OpUlt && b == 0 {
			continue
		}
		if n.Op == smt.OpUlt {
			b--
		}
		x := n.Args[0]
		i := slices.IndexFunc(out, func(u upper) bool { return u.width == s.c.Width(x) })
		if i < 0 {
			i = len(out)
			out = append(out, upper{s.c.Width(x), map[smt.Term]uint64{}})
		}
		if old, known := out[i].of[x]; !known || b < old {
			out[i].of[x] = b
		}
	}
	return out
}

// most is the largest value that t can have, given upper bounds of terms.
func (s *sim) most(t smt.Term, bounds []upper) uint64 {
	if t == 0 || s.c.Width(t) == 0 {
		return unbounded
	}
	if v, ok := s.c.IsConst(t); ok {
		return v
	}
	w := s.c.Width(t)
	zeros, _ := s.c.Known(t)
	out := ^zeros & (unbounded >> (64 - w))
	top := w - leadingOnes(zeros, w)
	for _, u := range bounds {
		if u.width > top {
			continue
		}
		// Where the bound is a multiple of a power of two, only what is above that
		// was compared.
		low := top - u.width
		if b, ok := u.of[s.c.Extract(t, low, u.width)]; ok {
			out = min(out, b<<low|(1<<low-1))
		}
	}
	return out
}

// raise is the largest value over the ways so far and one more.
func raise(l location, way uint64) (most uint64, raises int) {
	switch {
	case way <= l.most:
		return l.most, l.raises
	case l.raises == maxRaises:
		return unbounded, l.raises
	}
	return way, l.raises + 1
}
