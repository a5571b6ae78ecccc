package pipeline

import (
	"context"
	"fmt"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/safety"
	"github.com/superbpf/superbpf/optimizer/steps"
)

// largeFunction is the number of instructions from which candidates are loaded
// before they are proved.
const largeFunction = 256

// maxVain is after how many candidates in a row that it takes the model is asked no
// more about a large function: it takes longer than the kernel.
const maxVain = 8

// load asks the kernels about a candidate and counts a refusal.
func (w *work) load(ctx context.Context, t Transform, cand *prog.Func, changes []Change, what string, est cost.Estimate) (GateResult, error) {
	if w.modelled && (w.vain < maxVain || len(cand.Insns) <= largeFunction) {
		steps.Spend(ctx, stepModelled*int64(len(cand.Insns)))
		if v := safety.Check(cand); v.Refused {
			w.vain = 0
			return w.foreseen(cand, what, t, v), nil
		}
		w.vain++
	}
	res, err := w.gate(ctx, w.index, cand)
	if err != nil {
		if ctx.Err() != nil {
			err = nil // out of time: what was kept so far stands
		}
		return GateResult{FailSlot: -1}, err
	}
	if res.Accepted {
		return res, nil
	}
	w.refused.add(&w.refused.Kernel, w.cur, what, res.Reason)
	if len(changes) == 1 && len(w.refused.Rewrites) < 100 {
		for _, r := range append([]GateResult{res}, res.Others...) {
			w.refused.Rewrites = append(w.refused.Rewrites, RefusedRewrite{Kernel: r.Kernel, Transform: t.Name(),
				Text: changes[0].Text, Kind: r.Kind, Reason: r.Reason, Slots: w.est.Slots - est.Slots})
		}
	}
	w.stats[t.Name()].Refused++
	return res, nil
}

// foreseen is the answer of the model of the kernel's checker.
func (w *work) foreseen(cand *prog.Func, what string, t Transform, v safety.Verdict) GateResult {
	res := GateResult{FailSlot: -1, Reason: fmt.Sprintf("model of the checker: instruction %d: %s", v.Insn, v.Reason)}
	w.refused.add(&w.refused.Kernel, w.cur, what, res.Reason)
	w.stats[t.Name()].Refused++
	if cand.Entry {
		res.FailSlot = 0
		for k := range v.Insn {
			res.FailSlot += cand.Insns[k].Slots()
		}
	}
	return res
}
