package pipeline

import (
	"context"
	"fmt"
	"slices"

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
	for range 64 {
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

// once runs t over the function as it is. Sites refused before are left out.
// again says that another run may find more.
func (w *work) once(ctx context.Context, t Transform) (ok, again bool, err error) {
	all, changes := t.Run(ctx, w.cur, func(int) bool { return true })
	if all == nil || len(changes) == 0 {
		return false, false, nil
	}
	keys := make([]string, len(changes))
	var sites []int
	for k, c := range changes {
		keys[k] = w.key(t, c)
		if !w.dropped[keys[k]] {
			sites = append(sites, k)
		}
	}
	if len(sites) == 0 {
		return false, false, nil
	}
	if len(sites) == len(changes) {
		switch ok, err := w.try(ctx, t, all, changes); {
		case err != nil:
			return false, false, err
		case ok:
			return true, true, nil
		case len(sites) == 1:
			w.dropped[keys[0]] = true
			return false, false, nil
		}
		sites = sites[:len(sites)/2]
	}
	// Halve until a set is accepted or a single guilty site remains.
	for len(sites) > 0 && ctx.Err() == nil {
		set := sites
		got, applied := t.Run(ctx, w.cur, func(s int) bool { _, in := slices.BinarySearch(set, s); return in })
		if got != nil && len(applied) > 0 {
			ok, err := w.try(ctx, t, got, applied)
			if err != nil {
				return false, false, err
			}
			if ok {
				return true, true, nil
			}
		}
		if len(sites) == 1 {
			w.dropped[keys[sites[0]]] = true
			return false, true, nil
		}
		sites = sites[:len(sites)/2]
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
