package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxColourings bounds the assignments of registers that one run looks for, and
// maxColoured the webs in all of them together.
const (
	maxColourings = 48
	maxColoured   = 12000
)

// registers gives the variables of the whole function registers anew where that
// removes a copy that no single renaming does, or a callee-saved register, which
// costs a push and a pop.
func registers(r *run) {
	a := newAllocation(r)
	if a == nil || len(a.own) == 0 {
		return
	}
	used := a.used(a.own) | isa.CallerSaved
	var best []isa.Reg
	budget := min(maxColourings, maxColoured/len(a.own)+1)
	for _, m := range a.moves {
		from, to := a.find(m.from), a.find(m.to)
		if from == to || a.apart(from, to) || a.fixed[from] && a.fixed[to] || budget == 0 {
			continue
		}
		if a.fixed[to] {
			from, to = to, from
		}
		if a.fixed[from] && a.forbid[to].Has(a.own[from]) {
			continue
		}
		undo := a.merge(from, to)
		budget--
		c := a.colour(used)
		if c == nil || !r.ok(m.k, "both sides in r%d: %s", c[from], text(&r.f.Insns[m.k])) {
			undo()
			continue
		}
		best = c
	}
	for x := isa.R9; x >= isa.R6; x-- {
		if !used.Has(x) || budget == 0 {
			continue
		}
		budget--
		if c := a.colour(used &^ isa.Regs(x)); c != nil && r.ok(max(0, slices.Index(a.own, x)), "r%d is not needed", x) {
			best, used = c, used&^isa.Regs(x)
		}
	}
	if best != nil {
		a.rewrite(best)
	}
}

// used is the set of callee-saved registers in an assignment.
func (a *allocation) used(reg []isa.Reg) isa.RegSet {
	var s isa.RegSet
	for _, x := range reg {
		s |= isa.Regs(x) & isa.CalleeSaved
	}
	return s
}

// rewrite writes an assignment into g, without the copies it makes needless.
func (a *allocation) rewrite(reg []isa.Reg) {
	for k := range a.r.g.Insns {
		in := &a.r.g.Insns[k]
		if !a.r.cfg.Reachable(k) || !renamable(in) && !exchange(in) {
			continue
		}
		old, move := in.Insn, isMove(in)
		at := func(after int, x isa.Reg) isa.Reg {
			if x == isa.FP || a.node[after][k][x] < 0 {
				return x
			}
			return reg[a.node[after][k][x]]
		}
		src, dst := reads(in)
		if src {
			in.Src = at(0, old.Src)
		}
		if dst {
			in.Dst = at(0, old.Dst)
		} else if old.Def().Has(old.Dst) {
			in.Dst = at(1, old.Dst)
		}
		if move && in.Src == in.Dst {
			a.r.nop(k)
		}
	}
}

// reads tells which register operands a renamable instruction reads.
func reads(in *prog.Insn) (src, dst bool) {
	row := in.Row()
	switch row.Kind {
	case isa.KindStore, isa.KindCondJump:
		return !row.Imm, true
	case isa.KindAtomic:
		return true, true
	case isa.KindLoad:
		return true, false
	}
	return row.ReadsSrc && !row.Imm, row.ReadsDst
}
