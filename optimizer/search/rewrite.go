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
	// Begin is called before the sites of a function.
	Begin()
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
	w.Finder.Begin()
	for _, s := range slice.Find(f) {
		if ctx.Err() != nil {
			return nil, false
		}
		if s.Slots < 2 || s.Mask == 0 {
			continue
		}
		terms, why := w.Finder.Terms(ctx, s)
		n := 0
		for i := range terms {
			code := s.Lower(&terms[i], w.MCPU)
			if code == nil || n >= maxAlternatives {
				continue
			}
			if gain := s.Slots - slice.Slots(code); gain > 0 {
				n++
				edits = append(edits, proposal{slice.Edit{Site: s, Code: code},
					fmt.Sprintf("%s is %s%s", s.Term.String(), terms[i].String(), why[i]), gain})
			}
		}
	}
	slices.SortStableFunc(edits, func(a, b proposal) int {
		return cmp.Or(b.gain-a.gain, len(a.Site.Span)-len(b.Site.Span), a.Site.Root-b.Site.Root)
	})
	return edits, true
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

// Begin starts the budget.
func (e *Enumeration) Begin() { e.until = e.Steps + e.Budget }

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
