package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// result is the term that an instruction which only computes a register gives it.
// The loader may complete the instruction: equal records give equal terms.
func (r *run) result(k int) (smt.Term, bool) {
	in := &r.f.Insns[k]
	core := in.Ref != nil && in.Ref.Kind == prog.RefCORE && removable(r.f, r.cfg, k)
	if r.vals.Before[k] == nil || !plain(in) && !core {
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
		if found {
			if r.ok(k, "r%d has the value: %s", best, text(in)) {
				r.set(k, movReg(in.Dst, best))
			}
			continue
		}
		if x, ok := r.part(k, t); ok && r.ok(k, "a register has the value in its lower bits: %s", text(in)) {
			r.set(k, x)
		}
	}
}

// part is the instruction that takes what load k reads, t, from the lower bits of a
// register: most often of the one that was just stored there, for whose store the
// load would have to wait.
func (r *run) part(k int, t smt.Term) (isa.Insn, bool) {
	in, c, st := &r.f.Insns[k], r.vals.C, r.vals.Before[k]
	row := in.Row()
	if row.Kind != isa.KindLoad || row.Width == 64 || row.Signed {
		return isa.Insn{}, false
	}
	has := func(s isa.Reg) bool {
		for at := uint8(0); at < row.Width; at += 8 {
			if st.Regs[s] == 0 || c.Extract(st.Regs[s], at, 8) != c.Extract(t, at, 8) {
				return false
			}
		}
		return true
	}
	if mask := (isa.Insn{Op: isa.ALU(isa.FnAnd, 64, true), Dst: in.Dst, Imm: 1<<row.Width - 1}); row.Width < 32 {
		return mask, has(in.Dst)
	}
	for s := isa.R0; s < isa.FP; s++ {
		if mov := (isa.Insn{Op: isa.ALU(isa.FnMov, 32, false), Dst: in.Dst, Src: s}); has(s) && r.has(mov.Op) {
			return mov, true
		}
	}
	return isa.Insn{}, false
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
			code := r.asLoad(k, in.Dst, t, w, nil)
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

// asLoad finds a load of w bits into d, before instruction k, that gives t, as
// it is or swapped. Loads for which except says so are left out.
func (r *run) asLoad(k int, d isa.Reg, t smt.Term, w uint8, except func(isa.Insn) bool) []isa.Insn {
	c := r.vals.C
	if z, _ := c.Known(t); w < 64 && z>>w != ^uint64(0)>>w {
		return nil
	}
	low := c.Extract(t, 0, w)
	for _, swapped := range []bool{false, true} {
		v := low
		if swapped {
			v = c.BSwap(low)
		}
		whole := c.ZExt(v, 64)
		ld, ok := r.loadOf(k, d, c.Extract(v, 0, 8), w, except, func(t smt.Term) bool { return t == whole })
		if !ok {
			continue
		}
		if swapped {
			return []isa.Insn{ld, {Op: isa.ALUBits(isa.FnToBE, 64, w), Dst: d}}
		}
		return []isa.Insn{ld}
	}
	return nil
}

// loadOf finds a load of w bits whose first byte is low and whose result is
// right.
func (r *run) loadOf(k int, d isa.Reg, low smt.Term, w uint8, except func(isa.Insn) bool, right func(smt.Term) bool) (isa.Insn, bool) {
	c, e, st := r.vals.C, r.vals.E, r.vals.Before[k]
	gives := func(in isa.Insn) bool {
		if except != nil && except(in) {
			return false
		}
		ld := prog.New(in)
		after, err := r.vals.After(k, &ld)
		return err == nil && right(after.Regs[d])
	}
	whole := e.OfFrame(low)
	for at := 0; at < isa.StackSize; at += int(w / 8) {
		if st.Stack[at] != low && !whole {
			continue
		}
		in := isa.Insn{Op: isa.Load(w, false), Dst: d, Src: isa.FP, Off: int16(at - isa.StackSize)}
		if r.vals.E.StackByte(st, at) == low && gives(in) {
			return in, true
		}
	}
	n := c.Node(low)
	if n.Op != smt.OpUF || n.Name != "load" || len(n.Args) != 2 {
		return isa.Insn{}, false
	}
	addr := n.Args[1]
	kind := e.RegionOf(addr).Kind
	if kind == symex.Context {
		return isa.Insn{}, false // the kernel fixes the widths there
	}
	for b := isa.R0; b <= isa.FP; b++ {
		if st.Regs[b] == 0 || kind != symex.Scalar && e.RegionOf(st.Regs[b]).Kind == symex.Scalar {
			continue // a number
		}
		off, ok := c.IsConst(c.Sub(addr, st.Regs[b]))
		if !ok || int64(int16(off)) != int64(off) {
			continue
		}
		if in := (isa.Insn{Op: isa.Load(w, false), Dst: d, Src: b, Off: int16(off)}); gives(in) {
			return in, true
		}
	}
	return isa.Insn{}, false
}
