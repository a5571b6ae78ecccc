package equiv

import (
	"container/heap"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// end is where a path of a region stops.
type end struct {
	at    int // the instruction before which it stops; -1 after an exit
	state *symex.State
	cond  smt.Term // the branch conditions of the region, together
	calls []smt.Term
}

// agenda is the cuts whose regions have to be run, those that come first in P
// first: without loops each is then run once.
type agenda struct {
	s    *sim
	cuts []*cut
}

func (a *agenda) Len() int { return len(a.cuts) }
func (a *agenda) Less(i, j int) bool {
	x, y := a.cuts[i], a.cuts[j]
	if px, py := a.s.p.pos(x.at), a.s.p.pos(y.at); px != py {
		return px < py
	}
	if qx, qy := a.s.q.pos(x.qt), a.s.q.pos(y.qt); qx != qy {
		return qx < qy
	}
	return x.id < y.id
}
func (a *agenda) Swap(i, j int) { a.cuts[i], a.cuts[j] = a.cuts[j], a.cuts[i] }
func (a *agenda) Push(x any)    { a.cuts = append(a.cuts, x.(*cut)) }
func (a *agenda) Pop() any {
	n := len(a.cuts) - 1
	x := a.cuts[n]
	a.cuts = a.cuts[:n]
	return x
}

// run looks for a relation that proves the replacement. A nil error means
// that it was found.
func (s *sim) run() error {
	start := s.newCut(0, 0)
	init := s.e.Start()
	s.join(start, init, init.Clone(), init.Path)
	s.enqueue(start)
	for s.queue.Len() > 0 {
		k := heap.Pop(&s.queue).(*cut)
		k.queued = false
		if err := s.ctx.Err(); err != nil {
			return giveUp("out of time")
		}
		if s.stats.Regions++; s.stats.Regions > 40*len(s.order)+200 {
			return giveUp("the relation between the functions does not settle")
		}
		if s.alone() {
			if err := s.learn(k); err != nil {
				return err
			}
			continue
		}
		ps, qs := s.enter(k)
		if err := s.region(k.at, k.qt, ps, qs); err != nil {
			return err
		}
	}
	return nil
}

func (s *sim) enqueue(k *cut) {
	if !k.queued {
		k.queued = true
		heap.Push(&s.queue, k)
	}
}

// maxPairs bounds the pairs of paths of one region that are looked at.
const maxPairs = 20_000

// region runs both functions from a pair of points to the next stops and
// checks what must hold along each pair of paths.
func (s *sim) region(at, qt int, ps, qs *symex.State) error {
	s.facts = ps.Path
	s.e.Align, s.e.OnToken = nil, nil
	s.e.Replacing(false)
	pe, err := s.paths(s.p, at, ps)
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
	if s.v.opt.AllowAtomics { // but those that P makes, too, are what they are
		s.e.Plain = func(tok smt.Term) bool { return !known[tok] }
	}
	s.e.Replacing(true)
	qe, err := s.paths(s.q, qt, qs)
	s.e.Align, s.e.Plain = nil, nil
	if err != nil {
		return err
	}
	s.stats.Paths += len(pe) + len(qe)
	byCond := map[smt.Term]int{}
	for j := range qe {
		byCond[qe[j].cond] = j
	}
	pairs := 0
	for i := range pe {
		if j, ok := byCond[pe[i].cond]; ok {
			// The same decisions: no other path of Q can be taken with this one.
			if err := s.arrive(&pe[i], &qe[j]); err != nil {
				return err
			}
			continue
		}
		if pairs += len(qe); pairs > maxPairs {
			return giveUp("too many pairs of paths between two points")
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

// alone: one function is run beside itself, to learn its values.
func (s *sim) alone() bool { return s.p == s.q }

// maxDepth is how many branch conditions are put together so that they can be
// simplified; past it their conjunction is one opaque bit.
const maxDepth = 40

// maxPath bounds the conditions of a path that are kept to reason with.
const maxPath = 256

// paths runs a function from before an instruction to the next stops.
func (s *sim) paths(x *side, from int, st *symex.State) ([]end, error) {
	type todo struct {
		at           int
		st           *symex.State
		cond         smt.Term
		depth, steps int
		calls        []smt.Term
		from         symex.Caller // of the body that it is in
	}
	most := s.v.opt.MaxPaths
	if s.alone() {
		most += 2 * len(x.g.Blocks) // a tree: each block once
	}
	var ends []end
	work := []todo{{at: from, st: st, cond: s.c.Bool(true)}}
	branch := func(w *todo, cond smt.Term) {
		if len(w.st.Path) >= maxPath { // the latest say most
			w.st.Path = slices.Clone(w.st.Path[maxPath/4:])
		}
		w.st.Path = append(slices.Clip(w.st.Path), cond)
		if w.depth++; w.depth <= maxDepth {
			w.cond = s.c.And(w.cond, cond)
		} else {
			w.cond = s.c.UF("both", 1, w.cond, cond)
		}
	}
	for len(work) > 0 {
		w := work[len(work)-1]
		work = work[:len(work)-1]
		if len(ends)+len(work) > most {
			return nil, giveUp("more than %d paths between two points", most)
		}
		if s.ctx.Err() != nil {
			return nil, giveUp("out of time")
		}
		from := w.steps
		s.e.OnToken = func(t smt.Term) { w.calls = append(slices.Clip(w.calls), t) }
		for {
			if x.stop[w.at] && (w.steps > 0 || s.rest) {
				ends = append(ends, end{at: w.at, state: w.st, cond: w.cond, calls: w.calls})
				break
			}
			if w.steps++; w.steps > maxLength || s.local != nil && w.steps > maxWindow {
				return nil, giveUp("a path is too long")
			}
			if to := s.across(x, w.at, w.st, &w.from); to >= 0 {
				w.at = to
				continue
			}
			in := &x.code[w.at]
			var before *symex.State
			if s.alone() {
				before = w.st.Clone()
			}
			cond, err := s.step(x, w.at, w.st)
			if err != nil {
				return nil, err
			}
			if s.alone() {
				s.points = append(s.points, point{w.at, before, cond})
			}
			if in.Row().Kind == isa.KindExit {
				ends = append(ends, end{at: -1, state: w.st, cond: w.cond, calls: w.calls})
				break
			}
			d := no
			switch {
			case cond != 0:
				d = s.decide(cond, w.st.Path)
			case in.Target >= 0:
				d = yes
			}
			if d == maybe {
				other := w
				other.st = w.st.Clone()
				other.at++
				branch(&other, s.c.Not(cond))
				work = append(work, other)
				branch(&w, cond)
				d = yes
			}
			if d == yes {
				w.at = in.Target
			} else {
				w.at++
			}
		}
		s.v.spend(s.ctx, int64(w.steps-from)*stepInsn)
	}
	return ends, nil
}

// maxLength bounds the instructions of one path of a region.
const maxLength = 100_000

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
	if s.local != nil {
		return s.local.meet(p, q, append(slices.Clone(p.state.Path), q.state.Path...))
	}
	if (p.at < 0) != (q.at < 0) {
		return giveUp("one function exits where the other goes on (instructions %d and %d)", p.at, q.at)
	}
	hyps := append(slices.Clone(p.state.Path), q.state.Path...)
	if err := s.equalMemory(p.state, q.state, hyps); err != nil {
		return err
	}
	if p.at < 0 {
		return s.equalResults(p.state, q.state, hyps)
	}
	s.e.Replacing(false) // what a cut keeps of memory is P's
	facts := slices.Clone(p.state.Path)
	has := make(map[smt.Term]bool, len(facts))
	for _, f := range facts {
		has[f] = true
	}
	for _, f := range q.state.Path {
		if !has[f] {
			facts = append(facts, f)
		}
	}
	if len(facts) > maxPath {
		facts = facts[len(facts)-maxPath:]
	}
	return s.carry(p.at, q.at, p.state, s.relate(p.state, q.state, q.at, hyps), facts)
}

// equalResults checks what both functions return.
func (s *sim) equalResults(p, q *symex.State, hyps []smt.Term) error {
	if p.Regs[isa.R0] == 0 {
		return nil // nothing that a caller may read
	}
	if q.Regs[isa.R0] == 0 {
		return giveUp("the second function returns nothing")
	}
	w := resultWidth(s.p.f)
	a, b := s.c.Extract(p.Regs[isa.R0], 0, w), s.c.Extract(q.Regs[isa.R0], 0, w)
	if !s.equal(a, b, hyps) {
		return giveUp("the results differ, or cannot be proved equal: %s and %s", s.c.String(a), s.c.String(b))
	}
	return nil
}

// carry merges a way into the cut that it ends at.
func (s *sim) carry(at, qt int, ps, qs *symex.State, facts []smt.Term) error {
	k := s.cuts[[2]int{at, qt}]
	if k == nil {
		if len(s.order) > 4*(len(s.p.g.Blocks)+len(s.q.g.Blocks)) {
			return giveUp("the functions' joins cannot be paired")
		}
		k = s.newCut(at, qt)
	}
	if s.join(k, ps, qs, facts) {
		s.enqueue(k)
	}
	return nil
}

// relate looks for live registers of Q whose terms differ from P's but whose
// values can be proved equal, and gives them P's terms.
func (s *sim) relate(p, q *symex.State, at int, hyps []smt.Term) *symex.State {
	live := s.q.live.Before[at]
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
