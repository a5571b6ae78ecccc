package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// commute saves the copy before an operation whose operands may change places:
// of `d = s; d += t`, where nobody wants t afterwards, `t += s` remains, and
// either t is used for d or d was used for t.
func commute(r *run) {
	for j := range r.f.Insns {
		op := &r.f.Insns[j]
		if !r.cfg.Reachable(j) || !commutative(op) {
			continue
		}
		d, t := op.Dst, op.Src
		st := r.vals.Before[j]
		if st == nil || r.live.After[j].Has(t) || !r.live.After[j].Has(d) || !r.copied(j, d) {
			continue
		}
		for s := isa.R0; s < isa.FP; s++ {
			if s != d && s != t && st.Regs[s] != 0 && st.Regs[s] == st.Regs[d] && r.swapOperands(j, s) {
				return // registers changed: one a run
			}
		}
	}
}

// commutative: in combines two registers whose places do not matter.
func commutative(in *prog.Insn) bool {
	row := in.Row()
	if row.Kind != isa.KindALU || row.Imm || !row.ReadsSrc || !row.ReadsDst || in.Src == in.Dst || in.Src == isa.FP || in.Frozen() {
		return false
	}
	switch row.Fn {
	case isa.FnAdd, isa.FnAnd, isa.FnOr, isa.FnXor, isa.FnMul:
		return true
	}
	return false
}

// copied: what d holds before j was copied from a register, for j alone.
func (r *run) copied(j int, d isa.Reg) bool {
	work, seen := []int{j}, map[int]bool{}
	for len(work) > 0 {
		k := work[len(work)-1]
		work = work[:len(work)-1]
		for _, p := range r.preds()[k] {
			in := &r.f.Insns[p]
			if in.Def().Has(d) {
				row := in.Row()
				if row.Kind != isa.KindALU || row.Fn != isa.FnMov || row.Imm || row.Width != 64 {
					return false
				}
				continue
			}
			if in.Use().Has(d) {
				return false
			}
			if !seen[p] {
				seen[p] = true
				work = append(work, p)
			}
		}
	}
	return !seen[0]
}

// after is the part of the web of d that begins with what j makes of it; it
// fails where another value may come in.
func (r *run) after(j int, d isa.Reg) (*web, bool) {
	w := &web{at: map[int]bool{}, defs: map[int]bool{}, uses: map[int]bool{}}
	work := prog.Succs(r.f, j)
	for len(work) > 0 {
		p := work[len(work)-1]
		work = work[:len(work)-1]
		if w.at[p] || !r.live.Before[p].Has(d) {
			continue
		}
		w.at[p] = true
		in := &r.f.Insns[p]
		if in.Use().Has(d) {
			if !renamable(in) {
				return nil, false
			}
			w.uses[p] = true
		}
		if in.Def().Has(d) {
			if !in.Use().Has(d) {
				continue
			}
			w.defs[p] = true
		}
		work = append(work, prog.Succs(r.f, p)...)
	}
	for p := range w.at {
		for _, q := range r.preds()[p] {
			if q != j && !(w.at[q] && (!r.f.Insns[q].Def().Has(d) || w.defs[q])) {
				return nil, false
			}
		}
	}
	return w, !w.at[j]
}

// swapOperands makes t op= s of the operation d op= t at j.
func (r *run) swapOperands(j int, s isa.Reg) bool {
	in := r.f.Insns[j].Insn
	d, t := in.Dst, in.Src
	unused := func(w *web, y isa.Reg) bool {
		for p := range w.at {
			if r.live.Before[p].Has(y) || r.f.Insns[p].Def().Has(y) && r.liveThrough(w, p) {
				return false
			}
		}
		return true
	}
	if w, ok := r.after(j, d); ok && unused(w, t) && r.ok(j, "operands change places: %s", text(&r.f.Insns[j])) {
		r.rename(w, d, t)
		in.Dst, in.Src = t, s
		r.set(j, in)
		return true
	}
	// Without its copy d is free up to j, if that is in this block.
	k := j - 1
	for k > r.cfg.Blocks[r.cfg.BlockOf[j]].From && !r.f.Insns[k].Def().Has(d) {
		k--
	}
	w, ok := r.webOf(j, t)
	if !ok || !r.f.Insns[k].Def().Has(d) || r.f.Insns[k].Use().Has(t) {
		return false
	}
	for p := range w.at {
		if (p <= k || p > j) && (r.live.Before[p].Has(d) || p != k && r.f.Insns[p].Def().Has(d) && r.liveThrough(w, p)) {
			return false
		}
	}
	for p := range w.defs {
		if (p < k || p >= j) && r.live.After[p].Has(d) {
			return false
		}
	}
	if !r.ok(j, "operands change places: %s", text(&r.f.Insns[j])) {
		return false
	}
	r.rename(w, t, d)
	in.Src = s
	r.set(j, in)
	r.nop(k)
	return true
}
