package pass

import "github.com/superbpf/superbpf/optimizer/isa"

// phis keeps a sum instead of a choice of its constant operand. A parser that
// checks `x = z; x += 14; if x > end`, then sets `x = 14` and adds x to z after
// a join, had the sum in x all the time.
func phis(r *run) {
	done := map[isa.Reg]bool{}
	for u := range r.f.Insns {
		in := &r.f.Insns[u]
		row := in.Row()
		if row.Kind != isa.KindALU || row.Fn != isa.FnAdd || row.Imm || row.Width != 64 || in.Src == in.Dst || r.vals.Before[u] == nil || done[in.Src] {
			continue
		}
		w, ok := r.webOf(u, in.Src)
		if !ok || len(w.defs) < 2 {
			continue
		}
		for z := isa.R0; z < isa.FP; z++ {
			if z == in.Src {
				continue
			}
			from, ok := r.sumAlready(w, in.Src, z)
			if !ok {
				continue
			}
			if !r.ok(u, "r%d has the sum already: %s", in.Src, text(in)) {
				break
			}
			done[in.Src] = true
			for d, s := range from {
				if s == in.Src {
					r.nop(d)
				} else {
					r.set(d, movReg(in.Src, s))
				}
			}
			for k := range w.uses {
				r.set(k, movReg(r.f.Insns[k].Dst, in.Src))
			}
			break
		}
	}
}

// sumAlready: every definition in web w of x is a constant K where some
// register has the sum of z and K, x itself at least once, and every use adds x
// to a copy of z. It returns which register has the sum at each definition.
func (r *run) sumAlready(w *web, x, z isa.Reg) (map[int]isa.Reg, bool) {
	c := r.vals.C
	from := map[int]isa.Reg{}
	own := false
	for d := range w.defs {
		in, st := &r.f.Insns[d], r.vals.Before[d]
		row := in.Row()
		if row.Kind != isa.KindALU || row.Fn != isa.FnMov || !row.Imm || st == nil || st.Regs[z] == 0 {
			return nil, false
		}
		found := false
		for s := isa.R0; s < isa.FP; s++ {
			if found && s != x || st.Regs[s] == 0 {
				continue
			}
			if k, ok := c.IsConst(c.Sub(st.Regs[s], st.Regs[z])); ok && int64(k) == in.Imm {
				from[d], found = s, true
				own = own || s == x
			}
		}
		if !found {
			return nil, false
		}
	}
	for u := range w.uses {
		in, st := &r.f.Insns[u], r.vals.Before[u]
		row := in.Row()
		if row.Kind != isa.KindALU || row.Fn != isa.FnAdd || row.Imm || row.Width != 64 || in.Src != x || in.Dst == x ||
			st == nil || st.Regs[z] == 0 || st.Regs[in.Dst] != st.Regs[z] {
			return nil, false
		}
	}
	return from, own
}
