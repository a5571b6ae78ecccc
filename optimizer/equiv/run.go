package equiv

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// end is where a path of a region stops.
type end struct {
	block int // the block at whose start it stops; -1 for an exit
	state *symex.State
	cond  smt.Term // the branch conditions of the region, together
	calls []smt.Term
}

// run looks for a relation that proves the replacement. A nil error means
// that it was found.
func (s *sim) run() error {
	start := s.newCut(0, 0)
	init := s.e.Start(s.p.f.NumArgs)
	if s.p.f.Entry {
		init = s.e.Start(1)
	}
	s.join(start, init, init.Clone(), nil)
	s.enqueue(start)
	for len(s.queue) > 0 {
		k := s.queue[0]
		s.queue = s.queue[1:]
		k.queued = false
		if err := s.ctx.Err(); err != nil {
			return giveUp("out of time")
		}
		if s.stats.Regions++; s.stats.Regions > 40*len(s.order)+200 {
			return giveUp("the relation between the functions does not settle")
		}
		if err := s.region(k); err != nil {
			return err
		}
	}
	return nil
}

func (s *sim) enqueue(k *cut) {
	if !k.queued {
		k.queued = true
		s.queue = append(s.queue, k)
	}
}

// region runs both functions from a cut to the next ones and checks what must
// hold along each pair of paths.
func (s *sim) region(k *cut) error {
	ps, qs := s.enter(k)
	s.facts = k.facts
	s.e.Align, s.e.OnToken = nil, nil
	s.e.Replacing(false)
	pe, err := s.paths(s.p, k.bp, ps, len(k.facts))
	if err != nil {
		return err
	}
	known := map[smt.Term]bool{}
	var pCalls []smt.Term
	for _, x := range pe {
		for _, t := range x.calls {
			if !known[t] {
				known[t] = true
				pCalls = append(pCalls, t)
			}
		}
	}
	s.e.Align = func(tok smt.Term, st *symex.State) smt.Term {
		if known[tok] {
			return tok
		}
		return s.align(tok, pCalls, st)
	}
	s.e.Replacing(true)
	qe, err := s.paths(s.q, k.bq, qs, len(k.facts))
	s.e.Align = nil
	if err != nil {
		return err
	}
	s.stats.Paths += len(pe) + len(qe)
	byCond := map[smt.Term]int{}
	for j := range qe {
		byCond[qe[j].cond] = j
	}
	for i := range pe {
		if j, ok := byCond[pe[i].cond]; ok {
			// The same decisions: no other path of Q can be taken with this one.
			if err := s.arrive(&pe[i], &qe[j]); err != nil {
				return err
			}
			continue
		}
		for j := range qe {
			both := s.c.And(pe[i].cond, qe[j].cond)
			if v, ok := s.c.IsConst(both); ok && v == 0 {
				continue
			}
			if s.infeasible(both) {
				continue
			}
			if err := s.arrive(&pe[i], &qe[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// paths runs a function from the start of a block to the next stops.
func (s *sim) paths(x *side, from int, st *symex.State, skip int) ([]end, error) {
	type todo struct {
		block int
		st    *symex.State
		calls []smt.Term
		steps int
	}
	var ends []end
	work := []todo{{from, st, nil, 0}}
	for len(work) > 0 {
		w := work[len(work)-1]
		work = work[:len(work)-1]
		if len(ends)+len(work) > s.v.opt.MaxPaths {
			return nil, giveUp("more than %d paths between two points", s.v.opt.MaxPaths)
		}
		if s.ctx.Err() != nil {
			return nil, giveUp("out of time")
		}
		s.e.OnToken = func(t smt.Term) { w.calls = append(slices.Clip(w.calls), t) }
		b := &x.g.Blocks[w.block]
		w.steps += b.To - b.From
		if w.steps > 20000 {
			return nil, giveUp("a path is too long")
		}
		var cond smt.Term
		for at := b.From; at < b.To; at++ {
			var err error
			if cond, err = s.e.Step(w.st, &x.f.Insns[at]); err != nil {
				return nil, err
			}
		}
		last := &x.f.Insns[b.To-1]
		next := func(block int, st *symex.State) {
			if x.stop[block] {
				ends = append(ends, end{block: block, state: st, cond: s.conj(st.Path[skip:]), calls: w.calls})
			} else {
				work = append(work, todo{block, st, w.calls, w.steps})
			}
		}
		switch {
		case last.Row().Kind == isa.KindExit:
			ends = append(ends, end{block: -1, state: w.st, cond: s.conj(w.st.Path[skip:]), calls: w.calls})
		case cond == 0:
			if last.Target >= 0 {
				next(x.g.BlockOf[last.Target], w.st)
			} else {
				next(x.g.BlockOf[b.To], w.st)
			}
		default:
			taken, fall := x.g.BlockOf[last.Target], x.g.BlockOf[b.To]
			switch s.decide(cond, w.st.Path) {
			case yes:
				next(taken, w.st)
			case no:
				next(fall, w.st)
			default:
				other := w.st.Clone()
				w.st.Path = append(slices.Clip(w.st.Path), cond)
				other.Path = append(slices.Clip(other.Path), s.c.Not(cond))
				next(taken, w.st)
				next(fall, other)
			}
		}
	}
	return ends, nil
}

type decision uint8

const (
	maybe decision = iota
	yes
	no
)

// decide settles a condition that is constant or was decided before.
func (s *sim) decide(cond smt.Term, path []smt.Term) decision {
	if v, ok := s.c.IsConst(cond); ok {
		if v == 1 {
			return yes
		}
		return no
	}
	not := s.c.Not(cond)
	for _, f := range path {
		if f == cond {
			return yes
		}
		if f == not {
			return no
		}
	}
	return maybe
}

func (s *sim) conj(ts []smt.Term) smt.Term {
	t := s.c.Bool(true)
	for _, u := range ts {
		t = s.c.And(t, u)
	}
	return t
}

// arrive checks a pair of paths that can be taken together, and carries what
// holds at their ends to the cut there.
func (s *sim) arrive(p, q *end) error {
	if (p.block < 0) != (q.block < 0) {
		return giveUp("one function exits where the other goes on (blocks %d and %d)", p.block, q.block)
	}
	hyps := append(slices.Clone(p.state.Path), q.state.Path...)
	if err := s.equalMemory(p.state, q.state, hyps); err != nil {
		return err
	}
	if p.block < 0 {
		w := ResultWidth(s.p.f)
		a := s.c.Extract(p.state.Regs[isa.R0], 0, w)
		b := s.c.Extract(q.state.Regs[isa.R0], 0, w)
		if !s.equal(a, b, hyps) {
			return giveUp("the results differ, or cannot be proved equal: %s and %s", s.c.String(a), s.c.String(b))
		}
		return nil
	}
	k := s.cuts[[2]int{p.block, q.block}]
	if k == nil {
		if len(s.order) > 4*(len(s.p.g.Blocks)+len(s.q.g.Blocks)) {
			return giveUp("the functions' joins cannot be paired")
		}
		k = s.newCut(p.block, q.block)
	}
	s.e.Replacing(false) // what a cut keeps of memory is P's
	qs := s.relate(p.state, q.state, q.block, hyps)
	facts := slices.Clone(p.state.Path)
	for _, f := range q.state.Path {
		if !slices.Contains(facts, f) {
			facts = append(facts, f)
		}
	}
	if s.join(k, p.state, qs, facts) {
		s.enqueue(k)
	}
	return nil
}

// relate looks for live registers of Q whose terms differ from P's but whose
// values can be proved equal, and gives them P's terms.
func (s *sim) relate(p, q *symex.State, block int, hyps []smt.Term) *symex.State {
	live := s.q.live.Before[s.q.g.Blocks[block].From]
	held := map[smt.Term]bool{}
	for _, t := range p.Regs {
		held[t] = true
	}
	out := q
	for r := isa.R0; r < isa.FP; r++ {
		t := q.Regs[r]
		if t == 0 || !live.Has(r) || held[t] {
			continue
		}
		if _, ok := s.c.IsConst(t); ok {
			continue
		}
		if u := p.Regs[r]; u != 0 && s.equal(u, t, hyps) {
			if out == q {
				out = q.Clone()
			}
			out.Regs[r] = u
		}
	}
	return out
}
