package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// sums adds a pointer to each of several constants at once instead of to the one that
// was chosen, where the sums are at hand: a parser that checks `y = z; y += 14; if y >
// end`, then sets `x = 14`, or 18 on another way, and does `x += z` after a join, can
// make x point to where y did.
func sums(r *run) {
	for u := range r.f.Insns {
		in := &r.f.Insns[u]
		row := in.Row()
		st := r.vals.Before[u]
		if row.Kind != isa.KindALU || row.Fn != isa.FnAdd || row.Imm || row.Width != 64 || in.Src == in.Dst || in.Src == isa.FP || st == nil || st.Regs[in.Src] == 0 {
			continue
		}
		defs, ok := r.constantsFor(u)
		if !ok || len(defs) < 2 {
			continue
		}
		made := map[int]maker{} // where a sum is made that is not at hand any more
		from := map[int]isa.Reg{}
		for _, d := range defs {
			now := r.vals.Before[d]
			if now == nil || now.Regs[in.Src] != st.Regs[in.Src] {
				ok = false
				break
			}
			sum := r.vals.C.Add(now.Regs[in.Src], r.vals.C.Const(uint64(r.f.Insns[d].Imm), 64))
			if s := slices.Index(now.Regs[:isa.FP], sum); s >= 0 {
				from[d] = isa.Reg(s)
			} else if m, found := r.sumMade(d, in.Dst, sum); found {
				made[d] = m
			}
		}
		// What is made anew takes one slot more than the constant did.
		if anew := len(defs) - len(from) - len(made); !ok || anew > 1 || len(made) > 1 || !r.ok(u, "points on at once: %s", text(in)) {
			continue
		}
		for _, d := range defs {
			if m, found := made[d]; found {
				w, _ := r.webOf(m.to, m.reg)
				r.rename(w, m.reg, in.Dst)
				r.nop(d)
			} else if s, found := from[d]; found {
				r.set(d, movReg(in.Dst, s))
			} else {
				r.replaceLater(d, r.at(d, movReg(in.Dst, in.Src)), r.at(d, isa.Insn{Op: isa.ALU(isa.FnAdd, 64, true), Dst: in.Dst, Imm: r.f.Insns[d].Imm}))
			}
		}
		r.nop(u)
		return // registers changed: one a run
	}
}

// constantsFor lists the instructions that set the register which u adds to, if all of
// them set it to a constant that only u reads.
func (r *run) constantsFor(u int) (defs []int, ok bool) {
	x := r.f.Insns[u].Dst
	at := map[int]bool{u: true}
	work := []int{u}
	for len(work) > 0 {
		p := work[len(work)-1]
		work = work[:len(work)-1]
		if p == 0 {
			return nil, false
		}
		for _, q := range r.predsOf(p) {
			in := &r.f.Insns[q]
			row := in.Row()
			switch {
			case in.Def().Has(x):
				if row.Kind != isa.KindALU || row.Fn != isa.FnMov || !row.Imm || row.Width != 64 || in.Frozen() {
					return nil, false
				}
				if !slices.Contains(defs, q) {
					defs = append(defs, q)
				}
			case in.Use().Has(x):
				return nil, false
			case !at[q]:
				at[q] = true
				work = append(work, q)
			}
		}
	}
	// Nor does another way lead from a constant to a use.
	for _, d := range defs {
		for _, q := range prog.Succs(r.f, d) {
			if !at[q] {
				return nil, false
			}
		}
	}
	for p := range at {
		for _, q := range prog.Succs(r.f, p) {
			if p != u && !at[q] && r.live.Before[q].Has(x) {
				return nil, false
			}
		}
	}
	slices.Sort(defs)
	return defs, true
}

// sumMade finds what makes a sum on every way to d, in a variable that can have
// register x instead and keep it until d.
func (r *run) sumMade(d int, x isa.Reg, sum smt.Term) (maker, bool) {
	for j := d - 1; j > 0; j-- {
		in := &r.f.Insns[j]
		if in.Row().Kind != isa.KindALU || in.Dst == x || !r.before(j, d) || !r.live.After[j].Has(in.Dst) {
			continue
		}
		if t, ok := r.result(j); !ok || t != sum {
			continue
		}
		w, ok := r.webOf(j+1, in.Dst)
		if !ok || !r.free(w, x, -1) {
			return maker{}, false
		}
		for p := range between(j, d, r.preds()) {
			if r.live.Before[p].Has(x) || p != d && r.f.Insns[p].Def().Has(x) || r.updatedIn(w, p, in.Dst) {
				return maker{}, false
			}
		}
		return maker{j, j + 1, in.Dst}, true
	}
	return maker{}, false
}

// updatedIn: instruction p gives the variable in x, whose web is w, another value.
func (r *run) updatedIn(w *web, p int, x isa.Reg) bool {
	return w.defs[p] && r.f.Insns[p].Def().Has(x)
}
