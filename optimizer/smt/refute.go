package smt

import "slices"

// What a refutation spends: terms rewritten, and rounds over the conjuncts.
const (
	maxRewritten = 4000
	maxRounds    = 3
)

// Quick tries to decide without a solver whether the one-bit terms can all be
// true. What one of them says of a term (its value, bits, bounds) is put in for
// that term in the others: Unsat if one becomes false. Most questions about
// paths are of that kind. If none does, some assignments that fit are tried:
// Sat if one makes all terms true.
func (c *Ctx) Quick(terms ...Term) Result {
	if c.opt.Raw {
		return Unknown
	}
	list := c.conjuncts(terms)
	work := maxRewritten
	var f *facts
	for round := 0; round < maxRounds && work > 0; round++ {
		// What says most comes first; then the other way around, so that each has
		// been simplified by each.
		if round == 0 {
			slices.SortStableFunc(list, func(a, b Term) int { return c.says(b) - c.says(a) })
		} else {
			slices.Reverse(list)
		}
		f = newFacts(c, &work)
		kept, changed, empty := f.take(list)
		if empty {
			return Unsat
		}
		list = kept
		if !changed && round > 0 {
			break
		}
	}
	if f != nil && f.sampled(terms) {
		return Sat
	}
	return Unknown
}

// take simplifies conjuncts by those before them and learns from each. What is
// kept says the same; empty: they contradict each other.
func (f *facts) take(list []Term) (kept []Term, changed, empty bool) {
	for _, t := range list {
		u := f.rewrite(t)
		changed = changed || u != t
		// Pieces of one conjunct are simplified by each other.
		for _, part := range f.c.conjuncts([]Term{u}) {
			if part != u {
				part = f.rewrite(part)
			}
			if v, ok := f.c.IsConst(part); ok {
				if v == 0 {
					return nil, true, true
				}
				continue
			}
			if f.learn(part) {
				return nil, true, true
			}
			kept = append(kept, part)
		}
	}
	return kept, changed, false
}

// conjuncts takes conjunctions apart.
func (c *Ctx) conjuncts(terms []Term) []Term {
	var out []Term
	for _, t := range terms {
		if n := c.Node(t); n.Op == OpAnd && n.Width == 1 {
			out = append(out, n.Args...)
		} else {
			out = append(out, t)
		}
	}
	return out
}

// says ranks conjuncts by what they tell: a value most.
func (c *Ctx) says(t Term) int {
	n := c.Node(t)
	switch n.Op {
	case OpEq:
		if c.isConst(n.Args[1]) {
			return 4
		}
		return 3
	case OpVar, OpUF, OpExtract:
		return 3
	case OpNot:
		switch c.Node(n.Args[0]).Op {
		case OpVar, OpUF, OpExtract:
			return 3
		case OpUlt, OpSlt, OpEq:
			return 2
		}
		return 1
	case OpUlt, OpSlt:
		return 2
	}
	return 0
}

// rewrite puts in for t and its parts what is known of them. The arguments of
// functions are left alone: they may be as large as memory.
func (f *facts) rewrite(t Term) Term {
	c := f.c
	if v, ok := f.val[t]; ok {
		if c.isConst(v) {
			return v
		}
		return f.rewrite(v)
	}
	n := c.Node(t)
	if n.Op == OpConst || n.Width == 0 {
		return t
	}
	if u, ok := f.memo[t]; ok {
		return u
	}
	if *f.work--; *f.work < 0 {
		return t
	}
	u := t
	if n.Op != OpVar && n.Op != OpUF {
		changed := false
		args := make([]Term, len(n.Args))
		for i, a := range n.Args {
			args[i] = f.rewrite(a)
			changed = changed || args[i] != a
		}
		if changed {
			u = c.rebuild(n, args)
			if v, ok := f.val[u]; ok && c.isConst(v) {
				u = v
			}
		}
	}
	u = f.settle(u)
	f.memo[t] = u
	return u
}

// settle puts known bits into a term, and decides comparisons by bounds.
func (f *facts) settle(t Term) Term {
	c := f.c
	n := c.Node(t)
	if k, ok := f.known[t]; ok && n.Op != OpConst {
		return c.Or(c.And(t, c.Const(^k.zeros, n.Width)), c.Const(k.ones, n.Width))
	}
	switch n.Op {
	case OpEq:
		k, ok := c.IsConst(n.Args[1])
		if !ok {
			break
		}
		of, by := f.top(n.Args[0])
		b := f.unsignedOf(of)
		if k < b.lo>>by || k > b.hi>>by {
			return c.Bool(false)
		}
		w := c.Width(n.Args[0])
		if s := f.signedOf(n.Args[0]); signed(k, w) < s.lo || signed(k, w) > s.hi {
			return c.Bool(false)
		}
	case OpUlt:
		x, y := f.boundsAbove(n.Args[0]), f.boundsAbove(n.Args[1])
		switch {
		case x.hi < y.lo:
			return c.Bool(true)
		case x.lo >= y.hi:
			return c.Bool(false)
		}
	case OpSlt:
		x, y := f.signedOf(n.Args[0]), f.signedOf(n.Args[1])
		switch {
		case x.hi < y.lo:
			return c.Bool(true)
		case x.lo >= y.hi:
			return c.Bool(false)
		}
	}
	return t
}

// boundsAbove are the bounds of t, by those of the term whose upper bits it is.
func (f *facts) boundsAbove(t Term) bounds[uint64] {
	b := f.unsignedOf(t)
	if of, by := f.top(t); by > 0 {
		o := f.unsignedOf(of)
		b.lo, b.hi = max(b.lo, o.lo>>by), min(b.hi, o.hi>>by)
	}
	return b
}

// rebuild makes n again with other arguments.
func (c *Ctx) rebuild(n *Node, args []Term) Term {
	switch n.Op {
	case OpSum:
		k := n.K
		var list []summand
		for i, a := range args {
			list = c.summands(a, n.Coef[i], list, &k)
		}
		return c.sum(n.Width, k, list)
	case OpMul:
		return c.Mul(args[0], args[1])
	case OpUDiv:
		return c.UDiv(args[0], args[1])
	case OpURem:
		return c.URem(args[0], args[1])
	case OpSDiv:
		return c.SDiv(args[0], args[1])
	case OpSRem:
		return c.SRem(args[0], args[1])
	case OpAnd, OpOr, OpXor:
		t := args[0]
		for _, a := range args[1:] {
			t = c.bitwise(n.Op, t, a)
		}
		return t
	case OpNot:
		return c.Not(args[0])
	case OpShl:
		return c.Shl(args[0], args[1])
	case OpLShr:
		return c.LShr(args[0], args[1])
	case OpAShr:
		return c.AShr(args[0], args[1])
	case OpConcat:
		return c.Concat(args[0], args[1])
	case OpExtract:
		return c.Extract(args[0], uint8(n.K), n.Width)
	case OpSExt:
		return c.SExt(args[0], n.Width)
	case OpEq:
		return c.Eq(args[0], args[1])
	case OpUlt:
		return c.Ult(args[0], args[1])
	case OpSlt:
		return c.Slt(args[0], args[1])
	case OpIte:
		return c.Ite(args[0], args[1], args[2])
	}
	panic("smt: no such operation to rebuild")
}
