package pipeline

import (
	"context"
	"fmt"
	"sync"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/safety"
	"github.com/superbpf/superbpf/optimizer/steps"
)

// Candidates are loaded while they are proved from largeFunction instructions on, and
// where the verifier processes more than longLoad: then both take their time.
const (
	largeFunction = 256
	longLoad      = 2000
)

// maxVain is after how many candidates in a row that it takes the model is asked no
// more about a large function: it takes longer than the kernel.
const maxVain = 8

// question is one to the kernels about a candidate, for what becomes of it.
type question struct {
	t       Transform
	cand    *prog.Func
	changes []Change
	what    string
	est     cost.Estimate
}

// load asks the kernels about a candidate and counts a refusal.
func (w *work) load(ctx context.Context, q *question) (GateResult, error) {
	if res := w.foresee(ctx, q); !res.Accepted {
		return res, nil
	}
	res, n, err := w.loads(ctx, w.index, q.cand)
	return w.answer(ctx, q, res, n, err)
}

// both asks the kernels while the candidate is proved. A proof is not cut short by a
// refusal: what later proofs find would depend on when it came.
func (w *work) both(ctx context.Context, q *question, prove func(context.Context, *prog.Func, *prog.Func) Proof) (GateResult, Proof, error) {
	if res := w.foresee(ctx, q); !res.Accepted {
		return res, Proof{}, nil
	}
	var res GateResult
	var n int64
	var err error
	var loading sync.WaitGroup
	loading.Go(func() { res, n, err = w.loads(ctx, w.index, q.cand) })
	before := steps.Spent(ctx)
	proof := prove(ctx, w.cur, q.cand)
	loading.Wait()
	n = max(0, n-(steps.Spent(ctx)-before)) // that much of it took no time of its own
	if ctx.Err() != nil {                   // whether the kernels answered before is chance
		return GateResult{FailSlot: -1}, Proof{}, nil
	}
	res, err = w.answer(ctx, q, res, n, err)
	return res, proof, err
}

// foresee asks the model of the kernel's checker, where it is of use.
func (w *work) foresee(ctx context.Context, q *question) GateResult {
	if w.modelled && (w.vain < maxVain || len(q.cand.Insns) <= largeFunction) {
		steps.Spend(ctx, stepModelled*int64(len(q.cand.Insns)))
		if v := safety.Check(q.cand); v.Refused {
			w.vain = 0
			return w.foreseen(q, v)
		}
		w.vain++
	}
	return GateResult{Accepted: true}
}

// answer counts what the kernels said, and the steps that it took.
func (w *work) answer(ctx context.Context, q *question, res GateResult, n int64, err error) (GateResult, error) {
	if err != nil {
		if ctx.Err() != nil {
			err = nil // out of time: what was kept so far stands
		}
		return GateResult{FailSlot: -1}, err
	}
	steps.Spend(ctx, n)
	if res.Accepted {
		return res, nil
	}
	w.refused.add(&w.refused.Kernel, w.cur, q.what, res.Reason)
	if len(q.changes) == 1 && len(w.refused.Rewrites) < 100 {
		for _, r := range append([]GateResult{res}, res.Others...) {
			w.refused.Rewrites = append(w.refused.Rewrites, RefusedRewrite{Kernel: r.Kernel, Transform: q.t.Name(),
				Text: q.changes[0].Text, Kind: r.Kind, Reason: r.Reason, Slots: w.est.Slots - q.est.Slots})
		}
	}
	w.stats[q.t.Name()].Refused++
	return res, nil
}

// foreseen is the answer of the model of the kernel's checker.
func (w *work) foreseen(q *question, v safety.Verdict) GateResult {
	res := GateResult{FailSlot: -1, Reason: fmt.Sprintf("model of the checker: instruction %d: %s", v.Insn, v.Reason)}
	w.refused.add(&w.refused.Kernel, w.cur, q.what, res.Reason)
	w.stats[q.t.Name()].Refused++
	if q.cand.Entry {
		res.FailSlot = 0
		for k := range v.Insn {
			res.FailSlot += q.cand.Insns[k].Slots()
		}
	}
	return res
}
