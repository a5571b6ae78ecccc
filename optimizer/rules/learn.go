package rules

import (
	"cmp"
	"context"
	"slices"

	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/search"
	"github.com/superbpf/superbpf/optimizer/slice"
)

// Learner collects what enumeration finds in functions and makes rules of it.
type Learner struct {
	// MCPU is the newest instruction set level that right sides may use.
	MCPU   int
	Solver string
	// Budget bounds the steps of enumeration in one function; zero: none.
	Budget int64

	enum     *search.Enumerator
	findings map[string]*finding
	order    []string
	Sites    int
}

type finding struct {
	p    *search.Problem
	to   slice.Term
	gain int // slots, of all uses
	uses int
}

// Harvest looks for rewrites in f and in what the passes make of it. They run
// without any proof here: what they leave is only looked at.
func (l *Learner) Harvest(ctx context.Context, f *prog.Func, passes []pipeline.Transform) {
	l.look(ctx, f)
	if len(f.Insns) > maxPassed {
		return
	}
	g := f
	for range 2 {
		for _, p := range passes {
			if ctx.Err() != nil {
				return
			}
			if h, _ := p.Run(ctx, g, func(int) bool { return true }); h != nil {
				if h.Compact(); prog.Check(h) == nil {
					g = h
				}
			}
		}
	}
	if g != f {
		l.look(ctx, g)
	}
}

// maxPassed is the longest function that the passes are run over: longer ones
// take them minutes and hold little that shorter ones do not.
const maxPassed = 400

func (l *Learner) look(ctx context.Context, f *prog.Func) {
	if l.enum == nil {
		l.enum = &search.Enumerator{MCPU: l.MCPU}
		l.findings = map[string]*finding{}
	}
	until := l.enum.Steps + l.Budget
	for _, s := range slice.Find(f) {
		if ctx.Err() != nil {
			return
		}
		if s.Slots < 2 || s.Mask == 0 || slices.ContainsFunc(s.Facts, isConstant) {
			continue // a constant input: the slice with the constant follows
		}
		l.Sites++
		p := search.ProblemOf(s)
		if l.Budget > 0 && l.enum.Steps > until && !l.enum.Knows(p) {
			continue
		}
		own := s.Slots
		if code := s.Lower(&s.Term, l.MCPU); code != nil {
			own = slice.Slots(code)
		}
		terms := l.enum.Shorter(p)
		for i := range terms {
			code := s.Lower(&terms[i], l.MCPU)
			if code == nil || slice.Slots(code) >= min(own, s.Slots) {
				continue
			}
			key := p.Term.Key(true) + "=>" + terms[i].Key(true)
			x := l.findings[key]
			if x == nil {
				x = &finding{p: p, to: terms[i]}
				l.findings[key] = x
				l.order = append(l.order, key)
			}
			x.uses++
			x.gain += s.Slots - slice.Slots(code)
			// The weakest facts and most bits seen serve the most sites.
			if weaker(p, x.p) {
				x.p = p
			}
			break
		}
	}
}

func isConstant(f slice.Fact) bool { return f.Zeros|f.Ones == ^uint64(0) }

func weaker(a, b *search.Problem) bool {
	if b.Mask&^a.Mask != 0 {
		return false
	}
	for i := range a.Facts {
		if a.Facts[i].Zeros&^b.Facts[i].Zeros != 0 || a.Facts[i].Ones&^b.Facts[i].Ones != 0 {
			return false
		}
	}
	return true
}

// Findings is the number of different rewrites found so far.
func (l *Learner) Findings() int { return len(l.findings) }

// Rules generalises the findings, those that save most first, and adds to s
// the ones that its rules do not make already. progress is told how many of how
// many are done.
func (l *Learner) Rules(ctx context.Context, s *Set, progress func(done, all int)) (added []*Rule, err error) {
	list := slices.Clone(l.order)
	slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(l.findings[b].gain, l.findings[a].gain) })
	for i, key := range list {
		if ctx.Err() != nil {
			return added, ctx.Err()
		}
		progress(i, len(list))
		x := l.findings[key]
		if s.makes(x) {
			continue
		}
		r, err := Generalise(ctx, x.p, x.to, l.Solver)
		if err != nil {
			return added, err
		}
		if r != nil && s.Add(r) {
			added = append(added, r)
		}
	}
	return added, nil
}

// makes: a rule of the set gives a term as short as the finding's.
func (s *Set) makes(x *finding) bool {
	for _, r := range s.byKey[x.p.Term.Key(false)] {
		if t, ok := r.Instance(&x.p.Term, x.p.Facts, x.p.Mask); ok && len(t.Nodes) <= len(x.to.Nodes) {
			return true
		}
	}
	return false
}
