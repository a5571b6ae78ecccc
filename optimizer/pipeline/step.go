package pipeline

import (
	"context"
	"fmt"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Step is one accepted replacement of a function's body.
type Step struct {
	Transform string
	Changes   []Change
	After     *prog.Func
	Proof     Proof
	Before    cost.Estimate
	Cost      cost.Estimate
}

// Refusals counts rewrites that were dropped, by who refused them.
type Refusals struct {
	Proof, Kernel, Cost int
	// Examples holds the first few, for the report.
	Examples []string
}

func (r *Refusals) add(who *int, f *prog.Func, what, why string) {
	*who++
	if len(r.Examples) < 20 {
		r.Examples = append(r.Examples, fmt.Sprintf("%s: %s: %s", f.Name, what, why))
	}
}

// work is one function on its way.
type work struct {
	*driver
	index   int
	input   *prog.Func
	cur     *prog.Func
	est     cost.Estimate
	weights []float64 // of the input's instructions
	steps   []Step
	refused Refusals
	dropped map[string]bool // rewrites that were refused, by key
	stats   map[string]*TransformStats
}

// weigh maps the input's weights onto f through the instructions' origins. An
// instruction without one runs as often as the one before it.
func (w *work) weigh(f *prog.Func) []float64 {
	if w.weights == nil {
		return nil
	}
	out := make([]float64, len(f.Insns))
	last := 1.0
	if len(w.weights) > 0 {
		last = w.weights[0]
	}
	for k := range f.Insns {
		if o := f.Insns[k].Origin; o >= 0 && o < len(w.weights) {
			last = w.weights[o]
		}
		out[k] = last
	}
	return out
}

func (w *work) price(f *prog.Func) cost.Estimate { return w.opt.Model.Func(f, w.weigh(f)) }

// key names a rewrite so that a refused one is not tried again while the code
// around it stays the same.
func (w *work) key(t Transform, c Change) string {
	origin := -1
	if c.At >= 0 && c.At < len(w.cur.Insns) {
		origin = w.cur.Insns[c.At].Origin
	}
	return fmt.Sprintf("%s|%d|%s", t.Name(), origin, c.Text)
}

// apply runs t until it finds nothing new, and reports whether the function
// changed.
func (w *work) apply(ctx context.Context, t Transform) (bool, error) {
	changed := false
	for range 400 {
		if ctx.Err() != nil {
			return changed, nil
		}
		ok, again, err := w.once(ctx, t)
		if err != nil {
			return changed, err
		}
		changed = changed || ok
		if !again {
			break
		}
	}
	return changed, nil
}

// maxAttempts bounds the candidates of one transform that are judged in one
// run over a function.
const maxAttempts = 300

// once looks for a set of t's sites that the judges accept. Sites refused
// before are left out; of a refused set the first half is tried alone, down to
// a single guilty site. again says that another run may find more.
func (w *work) once(ctx context.Context, t Transform) (ok, again bool, err error) {
	skip := map[int]bool{}
	limit := -1 // the number of sites to allow, -1 for all
	for range maxAttempts {
		if ctx.Err() != nil {
			return false, false, nil
		}
		var sites []int
		cand, changes := t.Run(ctx, w.cur, func(s int) bool {
			if skip[s] || limit >= 0 && len(sites) >= limit {
				return false
			}
			sites = append(sites, s)
			return true
		})
		if cand == nil || len(changes) == 0 || len(changes) != len(sites) {
			return false, false, nil
		}
		old := false
		for i, c := range changes {
			if w.dropped[w.key(t, c)] {
				skip[sites[i]] = true
				old = true
			}
		}
		if old {
			continue
		}
		if ok, err = w.try(ctx, t, cand, changes); err != nil || ok {
			return ok, ok, err
		}
		if len(sites) > 1 {
			limit = (len(sites) + 1) / 2
			continue
		}
		w.dropped[w.key(t, changes[0])] = true
		skip[sites[0]] = true
		limit = -1
	}
	return false, false, nil
}

// try puts a candidate before the judges, cheapest first.
func (w *work) try(ctx context.Context, t Transform, cand *prog.Func, changes []Change) (bool, error) {
	st := w.stats[t.Name()]
	if st == nil {
		st = new(TransformStats)
		w.stats[t.Name()] = st
	}
	st.Tried++
	cand.Compact()
	what := t.Name()
	if len(changes) == 1 {
		what += " (" + changes[0].Text + ")"
	}
	if err := prog.Check(cand); err != nil {
		return false, fmt.Errorf("%s made an invalid function: %w", what, err)
	}
	if prog.SameCode(cand, w.cur) {
		return false, nil
	}
	est := w.price(cand)
	if w.opt.Objective.Less(w.est, est) {
		w.refused.add(&w.refused.Cost, w.cur, what, "costs more")
		return false, nil
	}
	proof := w.opt.Prover.Prove(ctx, w.cur, cand)
	if !proof.Equal {
		if ctx.Err() == nil {
			w.refused.add(&w.refused.Proof, w.cur, what, proof.Verdict+": "+proof.Reason)
			st.Unproved++
		}
		return false, nil
	}
	res, err := w.gate(ctx, w.index, cand)
	if err != nil && ctx.Err() != nil {
		return false, nil // out of time: what was kept so far stands
	}
	if err != nil {
		return false, err
	}
	if !res.Accepted {
		w.refused.add(&w.refused.Kernel, w.cur, what, res.Reason)
		st.Refused++
		return false, nil
	}
	if w.opt.Objective == cost.Complexity && res.VerifiedInsns > w.verified[w.index] {
		w.refused.add(&w.refused.Cost, w.cur, what, "more instructions processed by the verifier")
		return false, nil
	}
	st.Kept++
	st.Slots += w.est.Slots - est.Slots
	w.verified[w.index] = res.VerifiedInsns
	w.steps = append(w.steps, Step{Transform: t.Name(), Changes: changes, After: cand, Proof: proof, Before: w.est, Cost: est})
	w.cur, w.est = cand, est
	w.replaced[w.index] = cand
	w.tell(w, t.Name(), false)
	return true, nil
}
