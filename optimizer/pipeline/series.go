package pipeline

import (
	"context"
	"slices"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// A transform that moves registers makes one rewrite a run, since what it knows of
// them holds no more afterwards. Where several such rewrites in a row were taken, the
// next are proved and loaded together.

// longestSeries bounds the rewrites of one step.
const longestSeries = 16

// link is one rewrite of a series.
type link struct {
	after   *prog.Func
	changes []Change
}

// series finds the rewrites that may follow the first. They are not judged.
func (w *work) series(ctx context.Context, t Transform, first link) []link {
	if w.stride < 2 {
		return nil
	}
	first.after.Compact()
	links, est := []link{first}, w.price(first.after)
	if !w.affordable(est, 1) {
		return nil
	}
	for len(links) < w.stride {
		next := w.next(ctx, t, links[len(links)-1].after)
		if next.after == nil || prog.Check(next.after) != nil || w.was(next.after) {
			break
		}
		e := w.price(next.after)
		known := func(l link) bool { return prog.SameCode(l.after, next.after) }
		if w.opt.Objective.Less(est, e) || slices.ContainsFunc(links, known) {
			break
		}
		links, est = append(links, next), e
	}
	return links
}

// next is the one rewrite that t makes of f, and that was not refused before.
func (w *work) next(ctx context.Context, t Transform, f *prog.Func) link {
	skip := map[int]bool{}
	for range maxAttempts {
		var sites []int
		cand, changes := t.Run(ctx, f, func(s int) bool {
			if skip[s] {
				return false
			}
			sites = append(sites, s)
			return true
		})
		if cand == nil || len(changes) != 1 || len(sites) != 1 {
			break
		}
		if !w.out(keyIn(f, t, changes[0])) {
			cand.Compact()
			return link{cand, changes}
		}
		skip[sites[0]] = true
	}
	return link{}
}

// trySeries puts a series before the judges, and the first half if they refuse
// it, down to two rewrites.
func (w *work) trySeries(ctx context.Context, t Transform, links []link) (bool, error) {
	for n := len(links); n > 1 && ctx.Err() == nil; n /= 2 {
		var changes []Change
		for _, l := range links[:n] {
			changes = append(changes, l.changes...)
		}
		ok, _, err := w.try(ctx, t, links[n-1].after, changes, n)
		if err != nil {
			return false, err
		}
		if ok {
			w.steps[len(w.steps)-1].links = links[:n]
			return true, nil
		}
		w.stride = n / 2
	}
	return false, nil
}

// lengthen lets the next series have twice as many rewrites, after a step of one
// transform that had so many changes.
func (w *work) lengthen(changes int) {
	if changes >= w.stride {
		w.stride = min(2*changes, longestSeries)
	}
}

// worth: going from one price to the other is no reason against n rewrites, each of
// which may cost what does not count.
func worth(o cost.Objective, from, to cost.Estimate, n int) bool {
	to.Nanoseconds -= float64(n-1) * cost.Negligible
	return !o.Less(from, to)
}
