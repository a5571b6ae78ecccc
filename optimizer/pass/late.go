package pass

import (
	"maps"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxLate bounds the instructions between a copy of a call's result and the
// constant that takes its place.
const maxLate = 8

// lateResults keeps a call's result in R0 where the function's own result, a
// constant, took its place early: the constant is set where R0 is free again.
// A way on which the call's result was compared with the constant has it already.
func lateResults(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		if row.Kind != isa.KindALU || row.Fn != isa.FnMov || row.Imm || row.Width != 64 || in.Src != isa.R0 || in.Dst == isa.R0 || in.Frozen() || !r.cfg.Reachable(k) {
			continue
		}
		for j := k + 1; j < min(k+maxLate, r.cfg.Blocks[r.cfg.BlockOf[k]].To); j++ {
			if !r.f.Insns[j].Def().Has(isa.R0) {
				continue
			}
			if c, ok := moveOfConstant(&r.f.Insns[j]); ok && r.setLater(k, j, c) {
				return // positions changed: one a run
			}
			break
		}
	}
}

// moveOfConstant tells whether in sets a whole register to a constant, and to
// which.
func moveOfConstant(in *prog.Insn) (int64, bool) {
	row := in.Row()
	return in.Imm, row.Kind == isa.KindALU && row.Fn == isa.FnMov && row.Imm && in.Ref == nil && (row.Width == 64 || in.Imm >= 0)
}

// setLater drops the copy of R0 at k, and sets R0, which gets c at j, where it is
// first needed.
func (r *run) setLater(k, j int, c int64) bool {
	x := r.f.Insns[k].Dst
	w, ok := r.webOf(k+1, x)
	if !ok || len(w.defs) == 0 || !w.defs[k] {
		return false
	}
	region, ends, ok := r.heldFrom(j)
	if !ok {
		return false
	}
	for p := range w.at {
		if r.live.Before[p].Has(isa.R0) && !region[p] && (p <= k || p > j) || ends[p] ||
			p != j && r.f.Insns[p].Def().Has(isa.R0) && r.liveThrough(w, p) {
			return false
		}
	}
	for d := range w.defs {
		if d != k && r.live.After[d].Has(isa.R0) && !region[d] {
			return false
		}
	}
	ways, at, ok := r.waysToEnds(j, c, x, w, region, ends)
	if !ok {
		return false
	}
	if !r.ok(j, "r0 = %d only where it is free: %s", c, text(&r.f.Insns[k])) {
		return false
	}
	set := r.at(j, r.f.Insns[j].Insn)
	r.rename(w, x, isa.R0)
	r.nop(k)
	r.nop(j)
	if at < 0 {
		return true
	}
	var stay []int
	for _, p := range r.preds()[at] {
		if _, ours := ways[p]; !ours && r.f.Insns[p].Target == at {
			stay = append(stay, p)
		}
	}
	for p, e := range ways {
		if r.f.Insns[p].Target == e {
			r.g.Insns[p].Target = at
		}
	}
	if err := r.g.Splice(at, at, []prog.Insn{set}); err != nil {
		panic("pass: nothing was replaced: " + err.Error())
	}
	for _, p := range stay {
		if p >= at {
			p++
		}
		r.g.Insns[p].Target = at + 1
	}
	return true
}

// waysToEnds gives the ways into the ends on which R0 has to be set, by the
// instruction that they leave from, and the end before which one setting serves
// them all; -1 if none has to.
func (r *run) waysToEnds(j int, c int64, x isa.Reg, w *web, region, ends map[int]bool) (ways map[int]int, at int, ok bool) {
	ways, at = map[int]int{}, -1
	order := slices.Sorted(maps.Keys(ends))
	for _, e := range order {
		for _, p := range r.preds()[e] {
			in := &r.f.Insns[p]
			row := in.Row()
			if !region[p] && p != j {
				continue
			}
			jumps := in.Target == e
			if jumps && row.Kind == isa.KindCondJump && row.Fn == isa.FnJeq && row.Imm && row.Width == 64 && in.Dst == x && in.Imm == c && w.at[p] {
				continue // what was compared is the constant
			}
			ways[p] = e
			if !jumps {
				if at >= 0 {
					return nil, 0, false // two settings for one gain nothing
				}
				at = e
			}
		}
	}
	if len(ways) == 0 {
		return ways, -1, true
	}
	for _, e := range order {
		all := at < 0 && !(e > 0 && !r.f.Insns[e-1].EndsBlock())
		for _, p := range r.preds()[e] {
			all = all && (region[p] || p == j)
		}
		if all {
			at = e
		}
	}
	for _, e := range ways {
		if at < 0 || e != at && (r.f.Insns[e].Row().Kind != isa.KindExit || r.f.Insns[at].Row().Kind != isa.KindExit) {
			return nil, 0, false
		}
	}
	return ways, at, true
}

// heldFrom collects the points where R0 holds what j gives it and nothing else,
// and those where it is returned or may be something else. It fails if R0 is
// used otherwise.
func (r *run) heldFrom(j int) (region, ends map[int]bool, ok bool) {
	region, ends = map[int]bool{}, map[int]bool{}
	work := prog.Succs(r.f, j)
	for len(work) > 0 {
		p := work[len(work)-1]
		work = work[:len(work)-1]
		in := &r.f.Insns[p]
		if region[p] || ends[p] || !r.live.Before[p].Has(isa.R0) {
			continue
		}
		if !r.before(j, p) || in.Row().Kind == isa.KindExit {
			ends[p] = true
			continue
		}
		if in.Use().Has(isa.R0) {
			return nil, nil, false
		}
		region[p] = true
		if !in.Def().Has(isa.R0) {
			work = append(work, prog.Succs(r.f, p)...)
		}
	}
	return region, ends, len(ends) > 0
}
