package pipeline

import (
	"context"
	"maps"
	"slices"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/steps"
)

// Kernels accept nearly all that is proved. Where the verifier takes long over a
// function, several steps are taken one after the other and loaded together. When
// that is refused, the function is as it was before them, and each step is loaded by
// itself up to the same place, as are all further ones of a transform that a kernel
// refused something of.

// Doubtful is a Transform of which kernels refuse much.
type Doubtful interface {
	Transform
	Doubtful() bool
}

// mostOwed is how many steps may be taken before they are loaded.
const mostOwed = 8

// mark is the work on a function as it was before the steps that are not loaded yet.
type mark struct {
	at  int  // the transform that came next
	any bool // others had found something in the round

	cur      *prog.Func
	est      cost.Estimate
	steps    []Step
	refused  Refusals
	dropped  dropped
	stats    map[string]*TransformStats
	misled   map[string]int
	rest     map[string]*prog.Func
	vain     int
	verified int
}

// mayOwe: the next step, of t, may be taken before it is loaded.
func (w *work) mayOwe(t Transform) bool {
	if d, ok := t.(Doubtful); ok && d.Doubtful() || w.stat(t.Name()).Refused > 0 {
		return false
	}
	return w.lenient && !w.strict && w.opt.FewLoads && !w.slack && w.opt.Objective != cost.Complexity && w.verified[w.index] > longLoad
}

// remember notes how the work stands before transform number at of a round, unless
// steps are owed.
func (w *work) remember(at int, any bool) {
	if w.owed > 0 || !w.mayOwe(w.opt.Transforms[at]) {
		return
	}
	w.mark = &mark{at, any, w.cur, w.est, slices.Clip(w.steps), w.refused, maps.Clone(w.dropped), cloneStats(w.stats),
		maps.Clone(w.misled), maps.Clone(w.rest), w.vain, w.verified[w.index]}
}

func cloneStats(m map[string]*TransformStats) map[string]*TransformStats {
	out := make(map[string]*TransformStats, len(m))
	for name, s := range m {
		c := *s
		out[name] = &c
	}
	return out
}

// pay loads what is owed, also when time is up, and reports whether it was accepted.
// If not, the work stands as it did before.
func (w *work) pay(ctx context.Context) (bool, error) {
	if w.owed == 0 {
		return true, nil
	}
	w.owed = 0
	res, n, err := w.loads(context.WithoutCancel(ctx), w.index, w.cur)
	steps.Spend(ctx, n)
	if err != nil {
		return false, err
	}
	if res.Accepted && !w.burdens(res.VerifiedInsns) {
		w.verified[w.index] = res.VerifiedInsns
		return true, nil
	}
	m := w.mark
	w.cur, w.est, w.steps, w.refused, w.dropped, w.stats = m.cur, m.est, m.steps, m.refused, m.dropped, m.stats
	w.misled, w.rest, w.vain, w.verified[w.index] = m.misled, m.rest, m.vain, m.verified
	w.stand()
	return false, nil
}

// round runs each transform once, and reports whether any changed the function.
func (w *work) round(ctx context.Context) (any bool, err error) {
	w.lenient = true
	defer func() { w.lenient, w.strict = false, false }()
	strictTo := -1 // the last transform whose steps are loaded one by one
	for k := 0; ; k++ {
		last := k == len(w.opt.Transforms)
		w.strict = k <= strictTo
		if last || w.owed >= mostOwed || w.owed > 0 && !w.mayOwe(w.opt.Transforms[k]) {
			ok, err := w.pay(ctx)
			if err != nil {
				return any, err
			}
			if !ok {
				strictTo = k - 1
				k, any, last = w.mark.at, w.mark.any, false
				w.strict = true
			}
		}
		if last {
			return any, nil
		}
		t := w.opt.Transforms[k]
		if w.rested(t) {
			continue
		}
		w.tell(w, t.Name(), false)
		w.remember(k, any)
		ok, err := w.apply(ctx, t)
		if err != nil {
			return any, err
		}
		any = any || ok
	}
}
