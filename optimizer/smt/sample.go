package smt

// lanes is how many assignments are tried at once.
const lanes = 16

type lane [lanes]uint64

// sampler evaluates terms under some assignments.
type sampler struct {
	f    *facts
	pool []uint64 // constants that the terms mention
	memo map[Term]*lane
	work int
}

// sampled looks for an assignment that makes all terms true, among some that
// agree with what is known of the leaves.
func (f *facts) sampled(terms []Term) bool {
	s := &sampler{f: f, pool: []uint64{0, 1, 2, 4, 8, 0xff, 0x8000_0000, 1 << 63}, memo: map[Term]*lane{}, work: maxRewritten}
	seen := map[Term]bool{}
	for _, t := range terms {
		s.constants(t, seen)
	}
	var all lane
	for i := range all {
		all[i] = 1
	}
	for _, t := range terms {
		v := s.eval(t)
		left := uint64(0)
		for i := range all {
			all[i] &= v[i]
			left |= all[i]
		}
		if left == 0 || s.work < 0 {
			return false
		}
	}
	return true
}

// constants gathers what terms are compared with.
func (s *sampler) constants(t Term, seen map[Term]bool) {
	n := s.f.c.Node(t)
	if seen[t] || n.Op == OpVar || n.Op == OpUF || len(seen) > maxRewritten {
		return
	}
	seen[t] = true
	if n.Op == OpConst && n.Width > 1 && len(s.pool) < 64 {
		s.pool = append(s.pool, n.K, n.K+1, n.K-1)
	}
	for _, a := range n.Args {
		s.constants(a, seen)
	}
}

func (s *sampler) eval(t Term) *lane {
	if v, ok := s.memo[t]; ok {
		return v
	}
	n := s.f.c.Node(t)
	v := &lane{}
	s.memo[t] = v
	if s.work--; s.work < 0 {
		return v
	}
	switch n.Op {
	case OpConst:
		for i := range v {
			v[i] = n.K
		}
		return v
	case OpVar, OpUF:
		s.leaf(t, n.Width, v)
		return v
	}
	args := make([]*lane, len(n.Args))
	for i, a := range n.Args {
		args[i] = s.eval(a)
	}
	n = s.f.c.Node(t)
	x := make([]uint64, len(args))
	for i := range v {
		for j := range args {
			x[j] = args[j][i]
		}
		v[i] = s.f.c.apply(n, x)
	}
	return v
}

// leaf gives a variable values that agree with what is known of it.
func (s *sampler) leaf(t Term, w uint8, v *lane) {
	f := s.f
	if is, ok := f.val[t]; ok && is != t {
		*v = *s.eval(is)
		return
	}
	b, k := f.unsignedOf(t), f.known[t]
	if b.lo > b.hi {
		return
	}
	for i := range v {
		h := scramble(uint64(t)<<8 | uint64(i))
		switch {
		case i == 0:
			v[i] = 0
		case i == 1:
			v[i] = ^uint64(0)
		case h&3 == 0:
			v[i] = h >> 2
		default:
			v[i] = s.pool[(h>>2)%uint64(len(s.pool))]
		}
		v[i] = v[i]&mask(w)&^k.zeros | k.ones
		if v[i] < b.lo || v[i] > b.hi {
			if v[i] = b.lo; b.hi-b.lo != ^uint64(0) && i > 1 {
				v[i] += h % (b.hi - b.lo + 1)
			}
		}
	}
}

func scramble(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}
