package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// maxThread bounds the instructions that a way is followed through.
const maxThread = 12

// threads lets a way on which a later branch is decided go where that branch
// goes, past code whose results nobody reads there (jump threading).
func threads(r *run) {
	for k := range r.f.Insns {
		in, st := &r.f.Insns[k], r.vals.Before[k]
		if st == nil || in.Frozen() || in.Target < 0 {
			continue
		}
		switch in.Row().Kind {
		case isa.KindJump:
			if to := r.leadsTo(in.Target, st.Clone()); to != in.Target && r.ok(k, "leads past a decided branch: %s", text(&r.f.Insns[in.Target])) {
				r.g.Insns[k].Target = to
			}
		case isa.KindCondJump:
			if r.vals.Cond[k] == 0 || in.Target == k+1 {
				continue
			}
			if to := r.leadsTo(in.Target, r.assuming(st, r.vals.Cond[k])); to != in.Target {
				if r.ok(k, "leads past a decided branch: %s", text(in)) {
					r.g.Insns[k].Target = to
				}
				continue
			}
			r.threadFall(k)
		}
	}
}

// threadFall does so for the way on which the branch at k is not taken, where
// no other way leads through the code that follows it.
func (r *run) threadFall(k int) {
	in := &r.f.Insns[k]
	if k+1 >= len(r.f.Insns) || !r.lonely(k+1) {
		return
	}
	to := r.leadsTo(k+1, r.assuming(r.vals.Before[k], r.vals.C.Not(r.vals.Cond[k])))
	if to == k+1 {
		return
	}
	if to == in.Target {
		if r.ok(k, "both ways lead to one place: %s", text(in)) {
			r.set(k, isa.Insn{Op: isa.Ja})
			r.g.Insns[k].Target = to
		}
		return
	}
	inv, ok := r.inverse(in)
	if !ok || !r.ok(k, "leads past a decided branch when not taken: %s", text(in)) {
		return
	}
	op := in.Insn
	op.Op = isa.CondJump(inv, in.Row().Width, in.Row().Imm)
	r.set(k, op)
	r.g.Insns[k].Target = to
	r.set(k+1, isa.Insn{Op: isa.Ja}) // what it takes the place of cannot be reached
	r.g.Insns[k+1].Target = in.Target
}

// assuming is a copy of st in which cond is true.
func (r *run) assuming(st *symex.State, cond smt.Term) *symex.State {
	out := st.Clone()
	out.Path = append(slices.Clip(out.Path), cond)
	return out
}

// leadsTo follows the way at instruction at with state st, which it changes, and
// returns the farthest place behind a decided branch where nothing is read that
// the code on the way to it has written; at if there is none.
func (r *run) leadsTo(at int, st *symex.State) int {
	best := at
	var defs isa.RegSet
	for range maxThread {
		in := &r.f.Insns[at]
		for reg := isa.R0; reg <= isa.FP; reg++ {
			if in.Use().Has(reg) && st.Regs[reg] == 0 {
				return best
			}
		}
		switch kind := in.Row().Kind; {
		case in.Op == isa.Nop:
			at++
		case kind == isa.KindJump:
			at = in.Target
		case kind == isa.KindCondJump && !in.Frozen():
			cond, err := r.vals.E.Step(st, in)
			if err != nil {
				return best
			}
			taken, known := r.settles(cond, st.Path)
			if !known {
				return best
			}
			if at++; taken {
				at = in.Target
			}
			if at < len(r.f.Insns) && defs&r.live.Before[at] == 0 {
				best = at
			}
		case plain(in):
			was := st.Regs[in.Dst]
			if _, err := r.vals.E.Step(st, in); err != nil {
				return best
			}
			if st.Regs[in.Dst] != was {
				defs |= in.Def()
			}
			at++
		default:
			return best
		}
		if at >= len(r.f.Insns) {
			return best
		}
	}
	return best
}

// settles tells whether the conditions of a path decide cond.
func (r *run) settles(cond smt.Term, path []smt.Term) (taken, known bool) {
	c := r.vals.C
	if v, ok := c.IsConst(cond); ok {
		return v == 1, true
	}
	facts := c.Relevant(cond, path, maxFacts)
	if c.Quick(append(slices.Clip(facts), cond)...) == smt.Unsat {
		return false, true
	}
	return true, c.Quick(append(slices.Clip(facts), c.Not(cond))...) == smt.Unsat
}

// maxFacts bounds the conditions of a path that are looked at together.
const maxFacts = 32
