package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// meet lets two ways that lead to one place store there what each of them has
// computed: where both end in a store to the same bytes of the stack, of values
// that may come to be in the same register, one store behind the join does.
func meet(r *run) {
	order, groups := r.endings()
	used := map[int]bool{} // ends that were changed
	for _, to := range order {
		es := groups[to]
		for i, a := range es {
			for j, b := range es {
				if to < 0 || i == j || b.jump < 0 || used[a.last] || used[b.last] {
					continue
				}
				if r.over() {
					return
				}
				if r.meetAt(a, b) {
					used[a.last], used[b.last] = true, true
				}
			}
		}
	}
}

// meetAt moves a store of both ends to the end of a, where b will jump to.
func (r *run) meetAt(a, b ending) bool {
	for i := len(a.code) - 1; i >= 0; i-- {
		x := &r.f.Insns[a.code[i]]
		if x.Row().Kind != isa.KindStore || x.Row().Imm || x.Dst != isa.FP || x.Frozen() || !r.storedLast(a.code, i) {
			continue
		}
		for j := len(b.code) - 1; j >= 0; j-- {
			y := &r.f.Insns[b.code[j]]
			if y.Op != x.Op || y.Dst != x.Dst || y.Off != x.Off || y.Frozen() || a.code[i] == b.code[j] || !r.storedLast(b.code, j) {
				continue
			}
			for c := isa.R0; c < isa.FP; c++ {
				wa, okA := r.inRegister(a, i, c)
				if !okA {
					continue
				}
				wb, okB := r.inRegister(b, j, c)
				if !okB || !r.ok(a.code[i], "stored once with that at %d: %s", b.code[j], text(x)) {
					continue
				}
				r.storeOnce(a, i, wa, c)
				r.storeOnce(b, j, wb, c)
				r.nop(b.last)
				r.set(b.jump, isa.Insn{Op: isa.Ja})
				r.g.Insns[b.jump].Target = a.last
				return true
			}
		}
	}
	return false
}

// storedLast: as far as memory goes, the i-th of a row of instructions, a store, can
// be the last of them.
func (r *run) storedLast(row []int, i int) bool {
	x := r.moved(row[i])
	x.Src = isa.FP // which register it comes from is seen to
	for _, k := range row[i+1:] {
		if r.f.Insns[k].EndsBlock() || !apart(x, r.moved(k)) {
			return false
		}
	}
	return true
}

// inRegister: what the i-th instruction of an end of code stores can be in c from
// where it is computed to the end. The web is what is to be renamed, nil if the value
// is in c as it is.
func (r *run) inRegister(e ending, i int, c isa.Reg) (*web, bool) {
	k := e.code[i]
	v := r.f.Insns[k].Src
	if r.live.After[e.last].Has(c) {
		return nil, false
	}
	for _, p := range e.code[i+1:] {
		if r.f.Insns[p].Def().Has(c) || v != c && r.live.Before[p].Has(c) {
			return nil, false
		}
	}
	if v == c {
		return nil, true
	}
	w, ok := r.webOf(k, v)
	if !ok || !r.free(w, c, -1) {
		return nil, false
	}
	for p := range w.defs {
		if p < e.code[0] || p > e.last {
			return nil, false
		}
	}
	for p := range w.uses {
		if p < e.code[0] || p > e.last || p > k && r.f.Insns[p].Def().Has(v) && updates(&r.f.Insns[p], v) {
			return nil, false
		}
	}
	return w, true
}

// storeOnce renames the value of the i-th instruction of an end of code and moves the
// store to the end.
func (r *run) storeOnce(e ending, i int, w *web, c isa.Reg) {
	if w != nil {
		r.rename(w, r.f.Insns[e.code[i]].Src, c)
	}
	moved := append(slices.Clone(r.g.Insns[e.code[i]+1:e.last+1]), r.g.Insns[e.code[i]])
	copy(r.g.Insns[e.code[i]:], moved)
}
