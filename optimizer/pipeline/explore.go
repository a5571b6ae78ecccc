package pipeline

import (
	"context"
	"maps"
	"math/rand/v2"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// The order in which transforms run decides where they come to rest: one that
// saves a slot now may hide what would have saved two. So a function is worked on
// again in other orders, from its input, from forms on the way, and from the best
// form after a rewrite that costs something. Every step is judged as in the
// first run. This is iterated local search (Lourenço, Martin, Stützle: Iterated
// Local Search, 2003) over proved rewrites.

const (
	// detourSlots and detourNanos are how much a rewrite may cost that begins an
	// attempt.
	detourSlots = 4
	detourNanos = 1.0
	// fewAttempts are not worth their time.
	fewAttempts = 3
	// patience: exploring ends after that many attempts in a row, and one more for
	// every two instructions, have found nothing.
	patience = 12
)

// explore makes up to opt.Explore attempts, fewer for large functions, and keeps
// what is better than the best so far.
func (w *work) explore(ctx context.Context) error {
	if w.opt.Objective == cost.Complexity || len(w.opt.Transforms) < 2 {
		return nil
	}
	// An attempt takes time by the square of a function's size, about.
	most := min(2*w.opt.Explore, w.opt.Explore*100/(len(w.input.Insns)+1))
	if most < fewAttempts {
		return nil
	}
	r := rand.New(rand.NewPCG(w.opt.Seed, uint64(w.index)))
	kicks := w.kicks(ctx, r)
	idle := 0
	for n := 0; n < most && idle < patience+len(w.input.Insns)/2 && ctx.Err() == nil; n++ {
		w.tell(w, "orders", false)
		from := len(w.steps)
		switch n % 4 {
		case 0:
			from = r.IntN(len(w.steps) + 1)
		case 2:
			from = 0
		}
		a := w.attempt(r, from)
		for from == len(w.steps) && len(kicks) > 0 {
			ok, err := a.kick(ctx, kicks[0])
			if err != nil {
				return err
			}
			if kicks = kicks[1:]; ok {
				break
			}
		}
		if err := a.settle(ctx); err != nil {
			return err
		}
		idle++
		if w.opt.Objective.Less(a.est, w.est) {
			w.adopt(a)
			kicks = w.kicks(ctx, r)
			idle = 0
		}
	}
	w.stand()
	return nil
}

// attempt prepares another way from the form that the function had after some
// steps.
func (w *work) attempt(r *rand.Rand, from int) *work {
	d := *w.driver
	d.opt.Transforms = append([]Transform(nil), d.opt.Transforms...)
	r.Shuffle(len(d.opt.Transforms), func(i, j int) {
		d.opt.Transforms[i], d.opt.Transforms[j] = d.opt.Transforms[j], d.opt.Transforms[i]
	})
	a := &work{driver: &d, index: w.index, input: w.input, weights: w.weights, modelled: w.modelled, vain: w.vain, banned: w.banned,
		dropped: maps.Clone(w.banned), stats: map[string]*TransformStats{}, misled: map[string]int{}, rest: map[string]*prog.Func{}}
	if a.dropped == nil {
		a.dropped = dropped{}
	}
	a.steps = w.steps[:from:from]
	a.cur = w.input.Clone()
	if from > 0 {
		a.cur = w.steps[from-1].After
	}
	a.est = a.price(a.cur)
	return a
}

// kick is a rewrite that an attempt may begin with although it saves nothing.
type kick struct {
	t    Transform
	site int // -1: all sites
}

// kicks lists the rewrites of the best form in random order.
func (w *work) kicks(ctx context.Context, r *rand.Rand) []kick {
	var out []kick
	for _, t := range w.opt.Transforms {
		sites := 0
		t.Run(ctx, w.cur, func(int) bool { sites++; return false })
		for s := range sites {
			out = append(out, kick{t, s})
		}
		if sites > 1 {
			out = append(out, kick{t, -1})
		}
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// kick applies a rewrite that may cost something.
func (a *work) kick(ctx context.Context, k kick) (bool, error) {
	cand, changes := k.t.Run(ctx, a.cur, func(s int) bool { return k.site < 0 || s == k.site })
	if cand == nil || len(changes) == 0 {
		return false, nil
	}
	for _, c := range changes {
		if a.dropped.out(a.key(k.t, c), len(a.steps)) {
			return false, nil
		}
	}
	a.slack = true
	ok, _, err := a.try(ctx, k.t, cand, changes, 1)
	a.slack = false
	return ok, err
}

// settle runs the transforms to rest.
func (a *work) settle(ctx context.Context) error {
	d := *a.driver
	d.opt.Search = nil
	a.driver = &d
	return a.run(ctx)
}

// affordable: a candidate's price is no reason against it, which is of n rewrites
// that are worth their price each.
func (w *work) affordable(est cost.Estimate, n int) bool {
	if w.slack {
		return est.Slots <= w.est.Slots+detourSlots && est.Nanoseconds <= w.est.Nanoseconds+detourNanos
	}
	return worth(w.opt.Objective, w.est, est, n)
}

// adopt takes over the result of an attempt.
func (w *work) adopt(a *work) {
	w.cur, w.est, w.steps = a.cur, a.est, a.steps
	w.dropped, w.rest = a.dropped, a.rest
	w.stand()
	for _, t := range w.stats {
		t.Kept, t.Slots = 0, 0
	}
	for name, t := range a.stats {
		s := w.stat(name)
		s.Tried, s.Unproved, s.Refused = s.Tried+t.Tried, s.Unproved+t.Unproved, s.Refused+t.Refused
	}
	for k := range w.steps {
		s := w.stat(w.steps[k].Transform)
		s.Kept++
		s.Slots += w.steps[k].Before.Slots - w.steps[k].Cost.Slots
	}
}

// stand makes the best form the one that the object has.
func (w *work) stand() {
	if len(w.steps) > 0 {
		w.replaced[w.index] = w.cur
	} else {
		delete(w.replaced, w.index)
	}
}
