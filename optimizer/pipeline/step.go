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
	// links are the rewrites one after the other, where they were made so and judged
	// together.
	links []link
}

// Refusals counts rewrites that were dropped, by who refused them.
type Refusals struct {
	Proof, Kernel, Cost int
	// Examples holds the first few, for the report.
	Examples []string
	// Rewrites are the single ones that a kernel refused, the first hundred.
	Rewrites []RefusedRewrite
}

// RefusedRewrite is a proved rewrite that a kernel does not accept.
type RefusedRewrite struct {
	Kernel, Transform, Text string
	// Kind is the class of the complaint, Reason its words.
	Kind, Reason string
	Slots        int // that it would have saved
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
	dropped dropped
	stats   map[string]*TransformStats
	// processed is what the verifier processes of the programs with the input; 0
	// where that is not known.
	processed int
	// modelled: the model of the kernel's checker takes the input, as the kernel
	// does, so it may refuse candidates without asking the kernel.
	modelled bool
	// vain counts the candidates that it took since it refused one.
	vain int
	// misled counts, by transform, the times that a log pointed at the wrong
	// rewrite since it last helped.
	misled map[string]int
	proof  Proof // of the last candidate
	costly bool  // the last candidate cost too much
	// circling: the last candidate was the function as it had been before.
	circling bool
	// banned are rewrites that measurement took back.
	banned dropped
	// Of the transform that runs: aside are rewrites that cost too much, suspected those
	// that a verifier's log pointed at, by key; stride is how many may be made one after
	// the other before the judges are asked.
	aside, suspected map[string]bool
	stride           int
	// slack is set while a rewrite that costs something may be taken.
	slack bool
	// lenient: steps may be taken before they are loaded; strict: no more. owed counts
	// those that were, since mark.
	lenient, strict bool
	owed            int
	mark            *mark
	// rest has the function that each transform found nothing more in; unfinished: the
	// one that runs had more to try.
	rest       map[string]*prog.Func
	unfinished bool
}

// dropped are the rewrites that were refused, by key. One that only cost too
// much is tried again when the function has changed: what it frees may go now.
type dropped map[string]int

// refusedFor tells until when a rewrite is left out: forever, or while the
// function has had that many steps.
const refusedForever = -1

func (d dropped) out(key string, steps int) bool {
	n, ok := d[key]
	return ok && (n == refusedForever || n == steps)
}

// out tells whether a rewrite is left out.
func (w *work) out(key string) bool { return w.aside[key] || w.dropped.out(key, len(w.steps)) }

// setAside leaves a rewrite out that costs too much, until the transform runs
// again on a function that has changed.
func (w *work) setAside(t Transform, c Change) {
	key := w.key(t, c)
	w.dropped[key], w.aside[key] = len(w.steps), true
}

// weigh maps the input's weights onto f.
func (w *work) weigh(f *prog.Func) []float64 {
	if w.weights == nil {
		return nil
	}
	return cost.Carry(w.weights, f)
}

// price is what f would cost as the function's body, with what it calls.
func (w *work) price(f *prog.Func) cost.Estimate {
	weights := w.weigh(f)
	e := w.opt.Model.Func(f, weights)
	e.Called = w.called(w.index, f, weights)
	return e
}

// key names a rewrite so that a refused one is not tried again while the code
// around it stays the same.
func (w *work) key(t interface{ Name() string }, c Change) string { return keyIn(w.cur, t, c) }

// keyIn is key for a rewrite of f.
func keyIn(f *prog.Func, t interface{ Name() string }, c Change) string {
	origin := -1
	if c.At >= 0 && c.At < len(f.Insns) {
		origin = f.Insns[c.At].Origin
	}
	return fmt.Sprintf("%s|%d|%s", t.Name(), origin, c.Text)
}

// rested: t found nothing more in the function as it is. A search may go on where it
// was cut off, and is not asked about.
func (w *work) rested(t Transform) bool { return w.rest[t.Name()] == w.cur }

// apply runs t until it finds nothing new, and reports whether the function
// changed.
func (w *work) apply(ctx context.Context, t Transform) (bool, error) {
	changed := false
	w.aside, w.suspected, w.stride, w.unfinished = map[string]bool{}, map[string]bool{}, 1, false
	for range 400 {
		if ctx.Err() != nil {
			return changed, nil
		}
		ok, again, err := w.once(ctx, t)
		if err != nil {
			return changed, err
		}
		changed = changed || ok
		if !again || w.circling {
			if ctx.Err() == nil && !w.unfinished {
				w.rest[t.Name()] = w.cur
			}
			break
		}
	}
	return changed, nil
}

// try puts a candidate before the judges, cheapest first. The result is a
// kernel's, if one was asked and refused. The candidate may cost what n rewrites may.
func (w *work) try(ctx context.Context, t Transform, cand *prog.Func, changes []Change, n int) (bool, GateResult, error) {
	none := GateResult{FailSlot: -1}
	st := w.stat(t.Name())
	st.Tried++
	w.proof, w.costly, w.circling = Proof{}, false, false
	cand.Compact()
	what := t.Name()
	if len(changes) == 1 {
		what += " (" + changes[0].Text + ")"
	}
	if err := prog.Check(cand); err != nil {
		return false, none, fmt.Errorf("%s made an invalid function: %w", what, err)
	}
	if prog.SameCode(cand, w.cur) {
		return false, none, nil
	}
	if w.circling = w.was(cand); w.circling {
		return false, none, nil
	}
	est := w.price(cand)
	complexity := w.opt.Objective == cost.Complexity
	// What the verifier makes of a candidate only the verifier can say.
	w.costly = !complexity && !w.affordable(est, n)
	if w.costly {
		w.refused.add(&w.refused.Cost, w.cur, what, fmt.Sprintf("costs more: %.3f -> %.3f ns, %d -> %d slots", w.est.Total(), est.Total(), w.est.Slots, est.Slots))
		return false, none, nil
	}
	prove := w.opt.Prover.Prove
	if p, ok := w.opt.Prover.(WholeProver); ok && len(changes) == 1 {
		prove = p.ProveWhole
	}
	q := &question{t, cand, changes, what, est}
	res, proof := none, Proof{}
	var err error
	owed := w.mayOwe(t)
	large := !owed && (len(cand.Insns) > largeFunction || w.verified[w.index] > longLoad)
	switch {
	case owed:
		if res = w.foresee(ctx, q); !res.Accepted {
			return false, res, nil
		}
		res.VerifiedInsns = w.verified[w.index]
		proof = prove(ctx, w.cur, cand)
	case large:
		if res, proof, err = w.both(ctx, q, prove); err != nil || !res.Accepted {
			return false, res, err
		}
	default:
		proof = prove(ctx, w.cur, cand)
	}
	if w.proof = proof; !proof.Equal {
		if ctx.Err() == nil {
			w.refused.add(&w.refused.Proof, w.cur, what, proof.Verdict+": "+proof.Reason)
			st.Unproved++
		}
		return false, none, nil
	}
	if !large && !owed {
		if res, err = w.load(ctx, q); err != nil || !res.Accepted {
			return false, res, err
		}
	}
	if w.burdens(res.VerifiedInsns) {
		w.refused.add(&w.refused.Cost, w.cur, what, fmt.Sprintf("the verifier processes %d instructions, and %d of the input", res.VerifiedInsns, w.processed))
		return false, none, nil
	}
	if was := w.verified[w.index]; complexity && (res.VerifiedInsns > was || res.VerifiedInsns == was && w.opt.Objective.Less(w.est, est)) {
		w.refused.add(&w.refused.Cost, w.cur, what, fmt.Sprintf("the verifier processes %d instructions instead of %d", res.VerifiedInsns, was))
		return false, none, nil
	}
	st.Kept++
	st.Slots += w.est.Slots - est.Slots
	w.lengthen(len(changes))
	if w.owed++; !owed {
		w.owed = 0 // those before were loaded with it
	}
	w.verified[w.index] = res.VerifiedInsns
	w.steps = append(w.steps, Step{Transform: t.Name(), Changes: changes, After: cand, Proof: proof, Before: w.est, Cost: est})
	w.cur, w.est = cand, est
	w.replaced[w.index] = cand
	w.tell(w, t.Name(), false)
	return true, none, nil
}

// Bounds of what the verifier may process of an output, whatever is saved: it gives
// up at a million instructions, on some kernels sooner, and takes its time until then.
const (
	mostBurden  = 2       // times the input
	leastBurden = 10000   // which never matters
	endBurden   = 1000000 // where the verifier gives up
	shareBurden = 4       // most of what is left until there that the output may take: one part of so many
)

// burdens: the verifier would process many more instructions than of the input, or
// many of those that the input leaves until it gives up. Other kernels count
// otherwise, and whoever changes the program later needs the rest.
func (w *work) burdens(processed int) bool {
	if w.processed == 0 {
		return false
	}
	most := min(mostBurden*w.processed, w.processed+max(0, endBurden-w.processed)/shareBurden)
	return processed > max(most, leastBurden)
}

// was: the function had that code before. Costs that are nearly the same let a
// transform go there and back for ever.
func (w *work) was(cand *prog.Func) bool {
	return slices.ContainsFunc(w.steps, func(s Step) bool { return prog.SameCode(s.After, cand) }) || prog.SameCode(w.input, cand)
}

// stat counts for the transform of a name.
func (w *work) stat(name string) *TransformStats {
	s := w.stats[name]
	if s == nil {
		s = new(TransformStats)
		w.stats[name] = s
	}
	return s
}
