package search

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/slice"
	"github.com/superbpf/superbpf/optimizer/steps"
)

// Finder proposes terms for a site, by some means.
type Finder interface {
	Name() string
	// Order is called before the sites of a function are asked for: it tells in
	// which order, by their numbers.
	Order(sites []*slice.Site) []int
	// Terms lists candidates, the best first, and why for each.
	Terms(ctx context.Context, s *slice.Site) ([]slice.Term, []string)
}

// Rewrite is a transform that puts a Finder's terms into a function.
type Rewrite struct {
	Finder Finder
	MCPU   int

	last  *prog.Func
	edits []proposal
}

type proposal struct {
	slice.Edit
	text string
	gain int
}

// Name is the finder's.
func (w *Rewrite) Name() string { return w.Finder.Name() }

// maxAlternatives bounds the candidates of one site that are offered.
const maxAlternatives = 3

// Run offers the edits that save slots, the most saving first; of those that
// overlap, the first one allowed.
func (w *Rewrite) Run(ctx context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []pipeline.Change) {
	if w.last == nil || !prog.SameCode(w.last, f) {
		edits, done := w.search(ctx, f)
		if !done {
			return nil, nil
		}
		w.last, w.edits = f.Clone(), edits
	}
	busy := make([]bool, len(f.Insns))
	var edits []slice.Edit
	var changes []pipeline.Change
	for i, e := range w.edits {
		if slices.ContainsFunc(e.Site.Span, func(k int) bool { return busy[k] }) || !allow(i) {
			continue
		}
		for _, k := range e.Site.Span {
			busy[k] = true
		}
		edits = append(edits, e.Edit)
		changes = append(changes, pipeline.Change{At: e.Site.Root, Text: e.text})
	}
	if len(edits) == 0 {
		return nil, nil
	}
	g, err := slice.Apply(f, edits)
	if err != nil {
		return nil, nil
	}
	return g, changes
}

// search lists the edits; done is false when it was cut off.
func (w *Rewrite) search(ctx context.Context, f *prog.Func) (edits []proposal, done bool) {
	var sites []*slice.Site
	for _, s := range slice.Find(f) {
		if s.Slots >= 2 && s.Mask != 0 {
			sites = append(sites, s)
		}
	}
	of := make([][]proposal, len(sites))
	for _, i := range w.Finder.Order(sites) {
		if ctx.Err() != nil {
			return nil, false
		}
		of[i] = w.proposals(ctx, sites[i])
	}
	edits = slices.Concat(of...)
	slices.SortStableFunc(edits, func(a, b proposal) int {
		return cmp.Or(b.gain-a.gain, len(a.Site.Span)-len(b.Site.Span), a.Site.Root-b.Site.Root)
	})
	return edits, true
}

// proposals are the edits of one site.
func (w *Rewrite) proposals(ctx context.Context, s *slice.Site) (edits []proposal) {
	terms, why := w.Finder.Terms(ctx, s)
	for i := range terms {
		code := s.Lower(&terms[i], w.MCPU)
		if code == nil || len(edits) >= maxAlternatives {
			continue
		}
		if gain := s.Slots - slice.Slots(code); gain > 0 {
			edits = append(edits, proposal{slice.Edit{Site: s, Code: code},
				fmt.Sprintf("%s is %s%s", s.Term.String(), terms[i].String(), why[i]), gain})
		}
	}
	return edits
}

// Enumeration is the Finder that enumerates.
type Enumeration struct {
	*Enumerator
	// Budget bounds the steps spent on one pass over a function; zero: none.
	Budget int64
	until  int64
}

// Name is the transform's name.
func (e *Enumeration) Name() string { return "enumeration" }

// Order starts the budget and puts short sites first, which cost little and are
// shortened most often; of those about as short, the ones that share a bank follow
// each other.
func (e *Enumeration) Order(sites []*slice.Site) []int {
	e.until = e.Steps + e.Budget
	length := func(s *slice.Site) int {
		switch {
		case s.Slots <= 3:
			return 0
		case s.Slots <= 5:
			return 1
		}
		return 2
	}
	order, facts := make([]int, len(sites)), make([]string, len(sites))
	for i, s := range sites {
		order[i], facts[i] = i, factsKey(ProblemOf(s).Facts)
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(length(sites[a])-length(sites[b]), cmp.Compare(facts[a], facts[b]), a-b)
	})
	return order
}

// Terms asks the enumerator; the term itself comes first, since its code may
// have copies that are not needed.
func (e *Enumeration) Terms(ctx context.Context, s *slice.Site) ([]slice.Term, []string) {
	before := e.Steps
	defer func() { steps.Spend(ctx, e.Steps-before) }()
	out := []slice.Term{s.Term}
	if p := ProblemOf(s); e.Budget == 0 || e.Steps < e.until || e.Knows(p) {
		out = append(out, e.Shorter(p)...)
	}
	return out, make([]string, len(out))
}
