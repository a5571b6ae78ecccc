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
	// slack is set while a rewrite that costs something may be taken.
	slack bool
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

// weigh maps the input's weights onto f.
func (w *work) weigh(f *prog.Func) []float64 {
	if w.weights == nil {
		return nil
	}
	return cost.Carry(w.weights, f)
}

func (w *work) price(f *prog.Func) cost.Estimate { return w.opt.Model.Func(f, w.weigh(f)) }

// key names a rewrite so that a refused one is not tried again while the code
// around it stays the same.
func (w *work) key(t interface{ Name() string }, c Change) string {
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
		if !again || w.circling {
			break
		}
	}
	return changed, nil
}

// maxAttempts bounds the candidates of one transform that are judged in one
// run over a function.
const maxAttempts = 300

// maxSuspects is how many rewrites of a refused set are left out one by one, on
// the word of a verifier's log, before the set is halved; maxMisled how often
// that may fail for a transform until its logs are no longer listened to.
const (
	maxSuspects = 2
	maxMisled   = 4
)

// once looks for a set of t's sites that the judges accept. Sites refused
// before are left out. Of a set that a kernel refused, the rewrite that its log
// points at is left out first; otherwise the first half is tried alone, down to
// a single guilty site. again says that another run may find more.
func (w *work) once(ctx context.Context, t Transform) (ok, again bool, err error) {
	skip, suspects := map[int]bool{}, map[int]bool{}
	limit := -1 // the number of sites to allow, -1 for all
	pointed, priced := 0, false
	for range maxAttempts {
		if ctx.Err() != nil {
			return false, false, nil
		}
		var sites []int
		cand, changes := t.Run(ctx, w.cur, func(s int) bool {
			if skip[s] || suspects[s] || limit >= 0 && len(sites) >= limit {
				return false
			}
			sites = append(sites, s)
			return true
		})
		if cand == nil || len(changes) == 0 || len(changes) != len(sites) {
			if len(suspects) == 0 {
				return false, false, nil
			}
			clear(suspects) // the rest was guilty, too
			continue
		}
		old := false
		for i, c := range changes {
			if w.dropped.out(w.key(t, c), len(w.steps)) {
				skip[sites[i]] = true
				old = true
			}
		}
		if old {
			continue
		}
		var res GateResult
		if ok, res, err = w.try(ctx, t, cand, changes); err != nil || ok {
			if ok && len(suspects) > 0 {
				w.misled[t.Name()] = 0
			}
			return ok, ok, err
		}
		if w.circling {
			return false, false, nil
		}
		if w.costly && len(sites) > 1 && !priced {
			priced = true
			if w.sift(ctx, t, sites, skip) {
				continue
			}
		}
		if len(suspects) > 0 {
			w.misled[t.Name()]++
		}
		if guilty := w.guilty(changes); len(guilty) > 0 && (w.proof.Alone || len(suspects) == 0) {
			for _, g := range guilty {
				if w.proof.Alone {
					skip[sites[g]] = true
					w.dropped[w.key(t, changes[g])] = refusedForever
				} else {
					suspects[sites[g]] = true
				}
			}
			continue
		}
		if w.costly && len(sites) > fewSites && w.dropCostly(ctx, t, sites) {
			continue
		}
		if len(sites) > 1 {
			if c := w.suspect(cand, changes, &res); c >= 0 && pointed < maxSuspects && w.misled[t.Name()] < maxMisled {
				suspects[sites[c]] = true
				pointed++
				continue
			}
			limit = (len(sites) + 1) / 2
			continue
		}
		w.dropped[w.key(t, changes[0])] = refusedForever
		if w.costly {
			w.dropped[w.key(t, changes[0])] = len(w.steps)
		}
		skip[sites[0]] = true
		clear(suspects)
		limit = -1
	}
	return false, false, nil
}

// fewSites is up to how many sites a set that costs too much is halved, so that
// some that pay together are found.
const fewSites = 4

// dropCostly prices the sites of a set one by one and leaves out those that cost
// too much, for now. It reports whether there are any.
func (w *work) dropCostly(ctx context.Context, t Transform, sites []int) bool {
	any := false
	for _, s := range sites {
		cand, changes := t.Run(ctx, w.cur, func(x int) bool { return x == s })
		if cand == nil || len(changes) != 1 {
			continue
		}
		if cand.Compact(); !w.affordable(w.price(cand)) {
			w.dropped[w.key(t, changes[0])] = len(w.steps)
			any = true
		}
	}
	return any
}

// suspect is the rewrite that a refusal points at: the last one before the
// refused instruction, else the first behind it; -1 when the log names no
// instruction of this function.
func (w *work) suspect(cand *prog.Func, changes []Change, res *GateResult) int {
	if res.Accepted || res.FailSlot < 0 || res.FailFunc != cand.Name {
		return -1
	}
	place := map[int]int{} // of the instructions that are still there, by origin
	for k := range w.cur.Insns {
		if o := w.cur.Insns[k].Origin; o >= 0 {
			place[o] = k
		}
	}
	at, slot := 0, 0
	for k := range cand.Insns {
		if o, ok := place[cand.Insns[k].Origin]; ok {
			at = o
		}
		if slot += cand.Insns[k].Slots(); slot > res.FailSlot {
			break
		}
	}
	best := -1
	for i, c := range changes {
		switch {
		case best < 0:
			best = i
		case c.At <= at && (changes[best].At > at || changes[best].At < c.At), c.At > at && c.At < changes[best].At:
			best = i
		}
	}
	return best
}

// guilty picks the changes that the last proof failed at: those nearest to the
// places that it names. None if it names none, or all without judging each by
// itself.
func (w *work) guilty(changes []Change) []int {
	var out []int
	for _, at := range w.proof.Places {
		best := 0
		for k, c := range changes {
			if abs(c.At-at) < abs(changes[best].At-at) {
				best = k
			}
		}
		if !slices.Contains(out, best) {
			out = append(out, best)
		}
	}
	if len(out) == len(changes) && !w.proof.Alone {
		return nil
	}
	return out
}

func abs(n int) int { return max(n, -n) }

// try puts a candidate before the judges, cheapest first. The result is a
// kernel's, if one was asked and refused.
func (w *work) try(ctx context.Context, t Transform, cand *prog.Func, changes []Change) (bool, GateResult, error) {
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
	w.costly = !complexity && !w.affordable(est)
	if w.costly {
		w.refused.add(&w.refused.Cost, w.cur, what, fmt.Sprintf("costs more: %.3f -> %.3f ns, %d -> %d slots", w.est.Nanoseconds, est.Nanoseconds, w.est.Slots, est.Slots))
		return false, none, nil
	}
	// A proof of a large function takes longer than its load.
	loadFirst := len(cand.Insns) > largeFunction
	res := GateResult{Accepted: true}
	var err error
	if loadFirst {
		if res, err = w.load(ctx, t, cand, changes, what, est); err != nil || !res.Accepted {
			return false, res, err
		}
	}
	proof := w.opt.Prover.Prove(ctx, w.cur, cand)
	if w.proof = proof; !proof.Equal {
		if ctx.Err() == nil {
			w.refused.add(&w.refused.Proof, w.cur, what, proof.Verdict+": "+proof.Reason)
			st.Unproved++
		}
		return false, none, nil
	}
	if !loadFirst {
		if res, err = w.load(ctx, t, cand, changes, what, est); err != nil || !res.Accepted {
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
	mostBurden  = 2     // times the input
	leastBurden = 10000 // which never matters
)

// burdens: the verifier would process many more instructions than of the input.
func (w *work) burdens(processed int) bool {
	return w.processed > 0 && processed > max(mostBurden*w.processed, leastBurden)
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
