package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// foldBranches replaces conditional jumps that always go one way.
func foldBranches(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindCondJump || in.Frozen() {
			continue
		}
		taken, known := r.vals.Decided(k)
		if !known || !r.ok(k, "always goes one way: %s", text(in)) {
			continue
		}
		if taken {
			r.set(k, isa.Insn{Op: isa.Ja})
			r.g.Insns[k].Target = in.Target
		} else {
			r.nop(k)
		}
	}
}

var inverse = map[isa.Fn]isa.Fn{
	isa.FnJeq: isa.FnJne, isa.FnJne: isa.FnJeq, isa.FnJgt: isa.FnJle, isa.FnJle: isa.FnJgt, isa.FnJge: isa.FnJlt, isa.FnJlt: isa.FnJge,
	isa.FnJsgt: isa.FnJsle, isa.FnJsle: isa.FnJsgt, isa.FnJsge: isa.FnJslt, isa.FnJslt: isa.FnJsge,
}

// swapped gives the comparison with its operands exchanged.
var swapped = map[isa.Fn]isa.Fn{
	isa.FnJeq: isa.FnJeq, isa.FnJne: isa.FnJne, isa.FnJset: isa.FnJset, isa.FnJgt: isa.FnJlt, isa.FnJlt: isa.FnJgt, isa.FnJge: isa.FnJle,
	isa.FnJle: isa.FnJge, isa.FnJsgt: isa.FnJslt, isa.FnJslt: isa.FnJsgt, isa.FnJsge: isa.FnJsle, isa.FnJsle: isa.FnJsge,
}

// inverse gives the comparison that decides the other way, if the instruction
// set level has it.
func (c *Config) inverse(in *prog.Insn) (isa.Fn, bool) {
	row := in.Row()
	fn, ok := inverse[row.Fn]
	return fn, ok && c.has(isa.CondJump(fn, row.Width, row.Imm))
}

// has: the instruction set level has op.
func (c *Config) has(op isa.Op) bool { return int(isa.RowOf(op).MinCPU) <= max(c.MCPU, 1) }

// jumps shortens the ways that control takes.
func jumps(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Target < 0 || in.Row().Kind == isa.KindMayGoto {
			continue
		}
		// To a jump: go where that goes.
		t := in.Target
		for range 16 {
			x := &r.f.Insns[t]
			if x.Row().Kind != isa.KindJump || x.Target == t {
				break
			}
			t = x.Target
		}
		if t != in.Target && r.ok(k, "goes to a jump: %s", text(in)) {
			r.g.Insns[k].Target = t
			continue
		}
		if in.Row().Kind == isa.KindJump && r.f.Insns[in.Target].Row().Kind == isa.KindExit && r.ok(k, "goes to an exit") {
			r.set(k, isa.Insn{Op: isa.Exit})
			continue
		}
		// Around a jump: invert.
		if in.Row().Kind == isa.KindCondJump && !in.Frozen() && k+2 < len(r.f.Insns) && in.Target == k+2 {
			next := &r.f.Insns[k+1]
			inv, ok := r.inverse(in)
			if ok && next.Row().Kind == isa.KindJump && r.lonely(k+1) && r.ok(k, "goes around a jump: %s", text(in)) {
				op := in.Insn
				op.Op = isa.CondJump(inv, in.Row().Width, in.Row().Imm)
				r.set(k, op)
				r.g.Insns[k].Target = next.Target
				r.nop(k + 1)
			}
		}
	}
}

// lonely: no jump goes to instruction k.
func (r *run) lonely(k int) bool {
	for i := range r.f.Insns {
		if r.f.Insns[i].Target == k {
			return false
		}
	}
	return true
}
