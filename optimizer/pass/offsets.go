package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// offsets removes the addition of a constant whose sum is only used where a
// constant is added anyway: as the address of accesses, and in sums with
// further constants.
func offsets(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		if row.Kind != isa.KindALU || row.Fn != isa.FnAdd || !row.Imm || row.Width != 64 || in.Frozen() || in.Imm == 0 || !r.cfg.Reachable(k) {
			continue
		}
		edits, ok := r.without(k)
		if !ok || len(edits) == 0 || !r.ok(k, "added where the sum is used: %s", text(in)) {
			continue
		}
		for i, e := range edits {
			r.g.Insns[i].Imm, r.g.Insns[i].Off = e.Imm, e.Off
			if row := e.Row(); row.Kind == isa.KindALU && row.Fn == isa.FnAdd && row.Imm && e.Imm == 0 {
				r.nop(i)
			}
		}
		r.nop(k)
		return // others were found in the code as it was
	}
}

// without finds how the code after `d += c` at k changes if the addition is left
// out. Registers that hold c less than they should are short; what is short
// must be the same on all ways to a point.
func (r *run) without(k int) (map[int]prog.Insn, bool) {
	c := r.f.Insns[k].Imm
	short := map[int]isa.RegSet{} // before an instruction
	edits := map[int]prog.Insn{}
	work := []int{}
	flow := func(from int, set isa.RegSet) bool {
		for _, s := range prog.Succs(r.f, from) {
			now := set & r.live.Before[s]
			if old, seen := short[s]; seen {
				if old != now {
					return false
				}
				continue
			}
			if now == 0 {
				continue
			}
			short[s] = now
			work = append(work, s)
		}
		return true
	}
	if !flow(k, 1<<r.f.Insns[k].Dst) {
		return nil, false
	}
	for len(work) > 0 {
		p := work[len(work)-1]
		work = work[:len(work)-1]
		if p == k {
			return nil, false // around a loop
		}
		set, edit, ok := shortAfter(r.f.Insns[p], short[p], c)
		if !ok {
			return nil, false
		}
		if edit != nil {
			edits[p] = *edit
		}
		if !flow(p, set) {
			return nil, false
		}
	}
	// Every way to a point where a register is short must have made it so.
	for p, set := range short {
		for _, q := range r.predsOf(p) {
			var after isa.RegSet
			if q == k {
				after = 1 << r.f.Insns[k].Dst
			} else if in, seen := short[q]; seen {
				after, _, _ = shortAfter(r.f.Insns[q], in, c)
			}
			if after&r.live.Before[p] != set {
				return nil, false
			}
		}
	}
	return edits, true
}

// predsOf lists the reachable instructions that control comes from to p.
func (r *run) predsOf(p int) []int {
	if r.predecessors == nil {
		r.predecessors = r.preds()
	}
	return r.predecessors[p]
}

// shortAfter tells which registers are short of c after an instruction, given
// those before, and how the instruction makes up for it.
func shortAfter(in prog.Insn, set isa.RegSet, c int64) (isa.RegSet, *prog.Insn, bool) {
	row := in.Row()
	d, s := in.Dst, in.Src
	if in.Use()&set == 0 {
		return set &^ in.Def(), nil, true
	}
	fits := func(base isa.Reg) (*prog.Insn, bool) {
		off := int64(in.Off) + c
		in.Off = int16(off)
		return &in, set.Has(base) && off == int64(int16(off)) && !in.Frozen()
	}
	switch row.Kind {
	case isa.KindLoad:
		e, ok := fits(s)
		return set &^ in.Def(), e, ok
	case isa.KindStore, isa.KindAtomic:
		if (row.Kind == isa.KindAtomic || !row.Imm) && set.Has(s) || row.Fn == isa.FnCmpXchg {
			return 0, nil, false
		}
		e, ok := fits(d)
		return set &^ in.Def(), e, ok
	case isa.KindALU:
		if row.Width != 64 || in.Frozen() {
			return 0, nil, false
		}
		switch {
		case row.Fn == isa.FnMov && !row.Imm && row.Bits == 0: // reads s, which is short
			return set | 1<<d, nil, true
		case row.Fn == isa.FnAdd && row.Imm:
			in.Imm += c
			return set &^ (1 << d), &in, in.Imm == int64(int32(in.Imm))
		case row.Fn == isa.FnAdd && set.Has(d) != set.Has(s):
			return set | 1<<d, nil, true
		case row.Fn == isa.FnSub && row.Imm:
			in.Imm -= c
			return set &^ (1 << d), &in, in.Imm == int64(int32(in.Imm))
		case row.Fn == isa.FnSub && !set.Has(s):
			return set, nil, true
		case row.Fn == isa.FnSub && set.Has(d) && d != s: // the difference is right
			return set &^ (1 << d), nil, true
		}
	}
	return 0, nil, false
}
