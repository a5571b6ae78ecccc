package equiv

import (
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// maxHyps bounds the hypotheses that a query is given: the latest matter most.
const maxHyps = 60

// unsat decides whether the terms cannot all be true: by rewriting and by
// trying, then by the solver.
func (s *sim) unsat(terms []smt.Term) bool {
	if !s.v.opt.NoQuick {
		if r := s.c.Quick(terms...); r != smt.Unknown {
			s.stats.Quick++
			return r == smt.Unsat
		}
	}
	if s.v.solver == nil {
		return false
	}
	if s.reserved {
		s.unasked++
		return false
	}
	s.stats.SolverCalls++
	r, _, err := s.v.solver.Check(s.ctx, s.v.opt.Limits, terms...)
	s.v.spend(s.ctx, stepQuery)
	if err != nil || r == smt.Unknown {
		s.v.spend(s.ctx, s.v.stepUnknown())
		s.stats.SolverUnknown++
		return false
	}
	return r == smt.Unsat
}

// relevant picks the hypotheses that share a leaf with t.
func (s *sim) relevant(t smt.Term, hyps []smt.Term) []smt.Term {
	return s.c.Relevant(t, hyps, maxHyps)
}

// infeasible reports whether a pair of paths surely cannot be taken together.
func (s *sim) infeasible(both smt.Term) bool {
	return s.unsat(append(s.relevant(both, s.facts), both))
}

// equal decides whether two terms have the same value under the hypotheses:
// by identity, by congruence, then by the solver.
func (s *sim) equal(a, b smt.Term, hyps []smt.Term) bool {
	if a == b {
		s.stats.Identical++
		return true
	}
	if a == 0 || b == 0 || s.c.Width(a) != s.c.Width(b) {
		return false
	}
	if s.congruent(a, b, hyps) {
		return true
	}
	if s.c.Width(a) == 0 {
		return false
	}
	goal := s.c.Eq(a, b)
	if v, ok := s.c.IsConst(goal); ok {
		if v == 1 {
			s.stats.Identical++
		}
		return v == 1
	}
	key := [2]smt.Term{goal, s.conj(s.relevant(goal, hyps))}
	if ok, known := s.proved[key]; known {
		return ok
	}
	before := s.unasked
	ok := s.unsat(append(s.relevant(goal, hyps), s.c.Not(goal)))
	if s.unasked == before {
		s.proved[key] = ok
	}
	if ok {
		s.stats.Solved++
	}
	return ok
}

// congruent: applications of the same function to equal arguments are equal.
func (s *sim) congruent(a, b smt.Term, hyps []smt.Term) bool {
	x, y := s.c.Node(a), s.c.Node(b)
	if x.Op != smt.OpUF || y.Op != smt.OpUF || x.Name != y.Name || len(x.Args) != len(y.Args) || len(x.Args) == 0 || x.Width != y.Width {
		return false
	}
	if x.Name == "write" && !s.e.Covers(a, b) {
		return false
	}
	for i := range x.Args {
		if !s.equal(x.Args[i], y.Args[i], hyps) {
			return false
		}
	}
	return true
}

// equalMemory requires the calls made so far and all memory that outlives the
// function to be the same.
func (s *sim) equalMemory(p, q *symex.State, hyps []smt.Term) error {
	if !s.equal(p.Effect, q.Effect, hyps) {
		return giveUp("the calls differ: %s and %s", s.c.String(p.Effect), s.c.String(q.Effect))
	}
	if !s.equal(p.Epoch, q.Epoch, hyps) || !s.equal(p.MapSet, q.MapSet, hyps) {
		return giveUp("the calls leave different memory")
	}
	for _, class := range memClasses(p, q) {
		s.e.Replacing(false)
		a := s.e.Freeze(p, class)
		s.e.Replacing(true)
		b := s.e.Freeze(q, class)
		if !s.equal(a, b, hyps) {
			return giveUp("memory %s differs, or cannot be proved equal", class)
		}
	}
	if s.e.Split() {
		return giveUp("a store to shared memory is made in pieces")
	}
	return nil
}

// align finds a call of P that a new call of Q equals though its terms differ.
func (s *sim) align(tok smt.Term, pCalls []smt.Term, st *symex.State) smt.Term {
	for _, t := range pCalls {
		if s.congruent(t, tok, st.Path) {
			return t
		}
	}
	return tok
}
