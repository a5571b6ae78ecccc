package pass

import (
	"maps"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// maxKeepers bounds the earlier definitions that are tried for one site.
const maxKeepers = 4

// keep removes the recomputation of a value, or the second setting of a
// constant, whose first register was used for something else: the first
// definition gets a register that stays free until then. Addresses a constant
// apart count as the same where the offsets of the accesses can make up for it.
func keep(r *run) {
	terms := make([]smt.Term, len(r.f.Insns))
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		if in.Op == isa.Nop || row.Kind == isa.KindALU && row.Fn == isa.FnMov && !row.Imm || in.Slots() == 1 && row.Kind == isa.KindLoadImm {
			continue
		}
		if t, ok := r.result(k); ok {
			terms[k] = t
		}
	}
	preds := r.preds()
	for k, t := range terms {
		if t == 0 {
			continue
		}
		tried := 0
		for j := k - 1; j >= 0 && tried < maxKeepers; j-- {
			delta, ok := r.apart(j, k, terms)
			if !ok || !r.before(j, k) {
				continue
			}
			tried++
			if r.keepFrom(j, k, delta, preds) {
				return // registers changed: one a run
			}
		}
	}
}

// apart gives the constant by which the value of k is larger than that of j.
func (r *run) apart(j, k int, terms []smt.Term) (int64, bool) {
	if terms[j] == 0 {
		return 0, false
	}
	if terms[j] == terms[k] {
		return 0, true
	}
	a, b := &r.f.Insns[j], &r.f.Insns[k]
	if a.Ref == nil || b.Ref == nil || a.Row().Kind != isa.KindLoadImm || b.Row().Kind != isa.KindLoadImm {
		return 0, false
	}
	d, ok := r.vals.C.IsConst(r.vals.C.Sub(terms[k], terms[j]))
	return int64(d), ok
}

// before: every way to k comes by j.
func (r *run) before(j, k int) bool {
	a, b := r.cfg.BlockOf[j], r.cfg.BlockOf[k]
	return a == b && j < k || a != b && r.cfg.Dominates(a, b)
}

// only is the web of what instruction k defines, if nothing else defines it.
func (r *run) only(k int) (*web, bool) {
	s := prog.Succs(r.f, k)
	if len(s) != 1 || !r.live.After[k].Has(r.f.Insns[k].Dst) {
		return nil, false
	}
	w, ok := r.webOf(s[0], r.f.Insns[k].Dst)
	return w, ok && len(w.defs) == 1 && w.defs[k]
}

// between collects the points on the ways from j to k.
func between(j, k int, preds [][]int) map[int]bool {
	at := map[int]bool{k: true}
	work := []int{k}
	for len(work) > 0 {
		p := work[len(work)-1]
		work = work[:len(work)-1]
		for _, q := range preds[p] {
			if q != j && !at[q] {
				at[q] = true
				work = append(work, q)
			}
		}
	}
	return at
}

func (r *run) keepFrom(j, k int, delta int64, preds [][]int) bool {
	x, d := r.f.Insns[j].Dst, r.f.Insns[k].Dst
	first, ok := r.only(j)
	if !ok {
		return false
	}
	second, whole := r.only(k)
	whole = whole && r.absorbs(second, d, delta)
	if !whole && (delta != 0 || r.f.Insns[k].Slots() == 1) {
		return false
	}
	all := &web{at: between(j, k, preds), defs: map[int]bool{j: true}, uses: map[int]bool{}}
	maps.Copy(all.at, first.at)
	if whole {
		maps.Copy(all.at, second.at)
	}
	for _, fresh := range []bool{false, true} {
		for _, y := range []isa.Reg{x, d, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9} {
			if fresh != (isa.CalleeSaved.Has(y) && !r.usesReg(y)) {
				continue // a new callee-saved register is the last choice
			}
			own := func(p int) bool { return y == x && first.at[p] || whole && y == d && second.at[p] }
			if !r.freeBut(all, y, k, whole, own) {
				continue
			}
			if !r.ok(k, "r%d keeps the value of instruction %d: %s", y, j, text(&r.f.Insns[k])) {
				continue
			}
			r.rename(first, x, y)
			if !whole {
				r.set(k, movReg(d, y))
				return true
			}
			r.rename(second, d, y)
			for u := range second.uses {
				if delta != 0 {
					r.g.Insns[u].Off += int16(delta)
				}
			}
			r.nop(k)
			return true
		}
	}
	return false
}

// absorbs: every use of the web's register d can do without what defines it,
// given a register that holds delta less.
func (r *run) absorbs(w *web, d isa.Reg, delta int64) bool {
	if delta == 0 {
		return true
	}
	for u := range w.uses {
		if _, ok := r.moreOffset(&r.f.Insns[u], d, delta); !ok {
			return false
		}
	}
	return true
}

// moreOffset adds delta to the offset of an access through d, which must not
// use d for anything else.
func (r *run) moreOffset(in *prog.Insn, d isa.Reg, delta int64) (int16, bool) {
	base := in.Dst
	switch row := in.Row(); row.Kind {
	case isa.KindLoad:
		base = in.Src
	case isa.KindStore, isa.KindAtomic:
		if (row.Kind == isa.KindAtomic || !row.Imm) && in.Src == d {
			return 0, false
		}
	default:
		return 0, false
	}
	off := int64(in.Off) + delta
	return int16(off), base == d && off == int64(int16(off)) && !in.Frozen()
}

// freeBut is free for a web that has y already at the points own.
func (r *run) freeBut(w *web, y isa.Reg, k int, gone bool, own func(int) bool) bool {
	for p := range w.at {
		if !own(p) && r.live.Before[p].Has(y) {
			return false
		}
		if p == k && (gone || !r.liveThrough(w, p)) {
			continue // replaced
		}
		if r.f.Insns[p].Def().Has(y) && !w.defs[p] && r.liveThrough(w, p) {
			return false
		}
	}
	for j := range w.defs {
		if r.live.After[j].Has(y) && r.f.Insns[j].Dst != y {
			return false
		}
	}
	return true
}
