package pipeline

import (
	"context"
	"maps"

	"github.com/superbpf/superbpf/optimizer/cost"
)

// untangle works on a function so that the verifier has less to process. Taking
// only what lowers its count at once ends early: many a rewrite pays only
// together with others. So in the time that is left the function is also made as
// small as it gets, and then improved by that count from there; the better of the
// two results stays.
func (d *driver) untangle(ctx context.Context, w *work) (*work, error) {
	if err := w.improve(ctx); err != nil || ctx.Err() != nil {
		return w, err
	}
	e := *d
	e.replaced, e.verified = maps.Clone(d.replaced), maps.Clone(d.verified)
	delete(e.replaced, w.index)
	e.opt.Objective = cost.Size
	a := e.start(w.index, w.input)
	a.modelled = w.modelled
	if err := a.improve(ctx); err != nil {
		return w, err
	}
	// Time may be up, but what was found is worth a last load.
	r, err := e.gate(context.WithoutCancel(ctx), a.index, a.cur)
	if err != nil || !r.Accepted {
		return w, err
	}
	e.verified[a.index], e.opt.Objective = r.VerifiedInsns, cost.Complexity
	if err := a.run(ctx); err != nil {
		return w, err
	}
	mine, theirs := d.verified[w.index], e.verified[a.index]
	if theirs > mine || theirs == mine && !cost.Complexity.Less(a.est, w.est) {
		return w, nil
	}
	d.replaced, d.verified[a.index] = e.replaced, theirs
	a.driver = d
	return a, nil
}
