package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// past lets a jump go past instructions that change nothing where it comes from:
// the join stores what is in the frame already on this way, or sets a register to
// what is in it. What prepared the operand of such a store then often has no use.
func past(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		kind := in.Row().Kind
		if kind != isa.KindCondJump && kind != isa.KindJump || in.Target < 0 || r.vals.Before[k] == nil || in.Frozen() {
			continue
		}
		to := in.Target
		for to+1 < len(r.f.Insns) && to != k && r.idle(k, to) {
			to++
		}
		if to == in.Target || to == k {
			continue
		}
		if r.ok(k, "goes past what changes nothing: %s", text(&r.f.Insns[in.Target])) {
			r.g.Insns[k].Target = to
		}
	}
}

// idle: instruction t changes nothing in the state in which jump k is taken.
func (r *run) idle(k, t int) bool {
	in, st := &r.f.Insns[t], r.vals.Before[k]
	switch {
	case in.Op == isa.Nop:
		return true
	case plain(in):
		after, err := r.vals.After(k, in)
		if err != nil {
			return false
		}
		is := after.Regs[in.Dst]
		return is != 0 && (is == st.Regs[in.Dst] || r.equalTo(&r.f.Insns[k], in.Dst, is))
	case in.Row().Kind == isa.KindStore && in.Dst == isa.FP && !in.Frozen():
		return r.writesBack(st, in)
	}
	return false
}

// equalTo: where jump j is taken, register d is t.
func (r *run) equalTo(j *prog.Insn, d isa.Reg, t smt.Term) bool {
	v, ok := r.vals.C.IsConst(t)
	row := j.Row()
	return ok && row.Kind == isa.KindCondJump && row.Fn == isa.FnJeq && row.Width == 64 && row.Imm && j.Dst == d && uint64(j.Imm) == v
}

// writesBack: in state st, store in writes what is in its place already.
func (r *run) writesBack(st *symex.State, in *prog.Insn) bool {
	c, row := r.vals.C, in.Row()
	v := c.Const(uint64(in.Imm), row.Width)
	if !row.Imm {
		if st.Regs[in.Src] == 0 {
			return false
		}
		v = r.low(st.Regs[in.Src], row.Width)
	}
	if st.Regs[in.Dst] == 0 {
		return false
	}
	load := prog.New(isa.Insn{Op: isa.Load(row.Width, false), Dst: isa.R0, Src: in.Dst, Off: in.Off})
	st = st.Clone()
	_, err := r.vals.E.Step(st, &load)
	return err == nil && r.low(st.Regs[isa.R0], row.Width) == v
}

// idleStores removes stores of what is in their place already.
func idleStores(r *run) {
	for k := range r.f.Insns {
		in, st := &r.f.Insns[k], r.vals.Before[k]
		if in.Row().Kind == isa.KindStore && !in.Frozen() && st != nil && r.writesBack(st, in) && r.ok(k, "is there already: %s", text(in)) {
			r.nop(k)
		}
	}
}
