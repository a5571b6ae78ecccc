package pipeline

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// suspect is the rewrite that a refusal points at: the last one before the
// refused instruction, else the first behind it; -1 when the log names no
// instruction of this function. at is the place before it that is still there.
func (w *work) suspect(cand *prog.Func, changes []Change, res *GateResult) (best, at int) {
	if res.Accepted || res.FailSlot < 0 || res.FailFunc != cand.Name {
		return -1, -1
	}
	place := map[int]int{} // of the instructions that are still there, by origin
	for k := range w.cur.Insns {
		if o := w.cur.Insns[k].Origin; o >= 0 {
			place[o] = k
		}
	}
	slot := 0
	for k := range cand.Insns {
		if o, ok := place[cand.Insns[k].Origin]; ok {
			at = o
		}
		if slot += cand.Insns[k].Slots(); slot > res.FailSlot {
			break
		}
	}
	best = -1
	for i, c := range changes {
		switch {
		case best < 0:
			best = i
		case c.At <= at && (changes[best].At > at || changes[best].At < c.At), c.At > at && c.At < changes[best].At:
			best = i
		}
	}
	return best, at
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
