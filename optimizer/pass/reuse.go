package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// result is the term that a plain instruction gives its destination.
func (r *run) result(k int) (smt.Term, bool) {
	in := &r.f.Insns[k]
	if r.vals.Before[k] == nil || !plain(in) {
		return 0, false
	}
	st, err := r.vals.After(k, in)
	if err != nil || st.Regs[in.Dst] == 0 {
		return 0, false
	}
	return st.Regs[in.Dst], true
}

// reuse replaces instructions whose value is a constant or in a register.
func reuse(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		t, ok := r.result(k)
		if !ok || in.Op == isa.Nop {
			continue
		}
		row := in.Row()
		st := r.vals.Before[k]
		isMov := row.Kind == isa.KindALU && row.Fn == isa.FnMov && row.Width == 64
		if t == st.Regs[in.Dst] {
			if r.ok(k, "has no effect: %s", text(in)) {
				r.nop(k)
			}
			continue
		}
		if v, ok := r.vals.C.IsConst(t); ok {
			if mov, ok := r.movConst(in.Dst, v); ok {
				if !(row.Fn == isa.FnMov && row.Imm) && r.ok(k, "is constant: %s", text(in)) {
					r.set(k, mov)
				}
				continue
			}
		}
		if isMov && row.Imm || in.Row().Kind == isa.KindLoadImm && in.Ref == nil && in.Slots() == 1 {
			continue
		}
		if isMov {
			continue // copies are the business of operands
		}
		best, found := isa.Reg(0), false
		for s := isa.R0; s < isa.FP; s++ {
			if s != in.Dst && st.Regs[s] == t && (!found || r.vals.Age[k][s] < r.vals.Age[k][best]) {
				best, found = s, true
			}
		}
		if found && r.ok(k, "r%d has the value: %s", best, text(in)) {
			r.set(k, movReg(in.Dst, best))
		}
	}
}

// wideLoads replaces an instruction that completes the assembly of bytes by
// the load of all of them, with a byte swap if they are in network order.
func wideLoads(r *run) {
	type edit struct {
		k    int
		code []isa.Insn
	}
	var edits []edit
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		t, ok := r.result(k)
		if !ok || in.Row().Kind == isa.KindLoad || in.Row().Fn == isa.FnMov {
			continue
		}
		for _, w := range []uint8{64, 32, 16} {
			code := r.asLoad(k, t, w)
			if code != nil && r.ok(k, "%d bytes in one load instead of %s", w/8, text(in)) {
				edits = append(edits, edit{k, code})
			}
			if code != nil {
				break
			}
		}
	}
	for i := len(edits) - 1; i >= 0; i-- {
		r.splice(edits[i].k, edits[i].k+1, edits[i].code)
	}
}

// splice replaces instructions of g by others, which take the origin of the
// last one replaced. Edits must be made from the end of the function.
func (r *run) splice(from, to int, code []isa.Insn) {
	var repl []prog.Insn
	for _, c := range code {
		in := prog.New(c)
		in.Origin = r.g.Insns[to-1].Origin
		repl = append(repl, in)
	}
	if err := r.g.Splice(from, to, repl); err != nil {
		r.changes = nil // a jump into the middle: not a site after all
	}
}

// asLoad finds a load of w bits that gives t, as it is or swapped.
func (r *run) asLoad(k int, t smt.Term, w uint8) []isa.Insn {
	c, e, st := r.vals.C, r.vals.E, r.vals.Before[k]
	if z, _ := c.Known(t); w < 64 && z>>w != ^uint64(0)>>w {
		return nil
	}
	low := c.Extract(t, 0, w)
	for _, swapped := range []bool{false, true} {
		v := low
		if swapped {
			v = c.BSwap(low)
		}
		n := c.Node(c.Extract(v, 0, 8))
		if n.Op != smt.OpUF || n.Name != "load" || len(n.Args) != 2 {
			continue
		}
		addr := n.Args[1]
		if e.RegionOf(addr).Kind == symex.Context {
			continue // the kernel fixes the widths there
		}
		for b := isa.R0; b <= isa.FP; b++ {
			if st.Regs[b] == 0 || e.RegionOf(st.Regs[b]).Kind == symex.Scalar {
				continue
			}
			off, ok := c.IsConst(c.Sub(addr, st.Regs[b]))
			if !ok || int64(int16(off)) != int64(off) {
				continue
			}
			d := r.f.Insns[k].Dst
			ld := prog.New(isa.Insn{Op: isa.Load(w, false), Dst: d, Src: b, Off: int16(off)})
			after, err := r.vals.After(k, &ld)
			if err != nil || after.Regs[d] != c.ZExt(v, 64) {
				continue
			}
			code := []isa.Insn{ld.Insn}
			if swapped {
				code = append(code, isa.Insn{Op: isa.ALUBits(isa.FnToBE, 64, w), Dst: d})
			}
			return code
		}
	}
	return nil
}
