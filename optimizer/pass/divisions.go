package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// maxWay is how many instructions either way of a branch on a sign may have.
const maxWay = 12

// divisions divides with the sign where a branch on the sign of the dividend chooses
// between two divisions without: programs for kernels before the signed instructions
// have it so.
func divisions(r *run) {
	if r.MCPU < 4 {
		return
	}
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindCondJump || in.Frozen() || !in.Row().Imm || r.vals.Before[k] == nil || r.vals.Cond[k] == 0 {
			continue
		}
		switch in.Row().Fn {
		case isa.FnJslt, isa.FnJsle, isa.FnJsgt, isa.FnJsge:
			if r.divideSigned(k) {
				return // positions changed: one a run
			}
		}
	}
}

// way is what runs from a branch to where it meets the other way, and what the
// registers hold there.
type way struct {
	code []int
	st   *symex.State
	cond smt.Term // what the branch found
}

// divideSigned replaces the branch at k and its ways by one signed division if they
// compute nothing else.
func (r *run) divideSigned(k int) bool {
	taken, falls := r.wayFrom(r.f.Insns[k].Target), r.wayFrom(k+1)
	a, b := r.meeting(taken, falls)
	if a < 0 {
		return false
	}
	join := falls[b]
	t, ok1 := r.along(k, taken[:a], r.vals.Cond[k])
	f, ok2 := r.along(k, falls[:b], r.vals.C.Not(r.vals.Cond[k]))
	if !ok1 || !ok2 {
		return false
	}
	d, ok := r.onlyChoice(k, join, t.st, f.st)
	if !ok {
		return false
	}
	for _, p := range slices.Concat(t.code, f.code) {
		in := &r.f.Insns[p]
		row := in.Row()
		var fns []isa.Fn
		by := in.Imm
		switch {
		case !row.Imm:
			continue
		case row.Fn == isa.FnDiv:
			fns = []isa.Fn{isa.FnSDiv}
		case row.Fn == isa.FnMod:
			fns = []isa.Fn{isa.FnSMod}
		case row.Fn == isa.FnRsh && in.Imm > 0 && in.Imm < 31:
			fns, by = []isa.Fn{isa.FnSDiv}, 1<<in.Imm
		case row.Fn == isa.FnAnd && in.Imm > 0 && in.Imm&(in.Imm+1) == 0:
			fns, by = []isa.Fn{isa.FnSMod}, in.Imm+1
		}
		for _, fn := range fns {
			for _, width := range []uint8{64, 32} {
				if code, ok := r.signedDivision(k, isa.ALU(fn, width, true), d, by, t, f); ok {
					return r.replaceWays(k, join, code)
				}
			}
		}
	}
	return false
}

// wayFrom lists the instructions that run from p on, as far as they compute only; the
// last one is what ends that.
func (r *run) wayFrom(p int) []int {
	var out []int
	for len(out) <= maxWay && p < len(r.f.Insns) {
		in := &r.f.Insns[p]
		out = append(out, p)
		switch row := in.Row(); {
		case row.Kind == isa.KindJump && !in.Frozen():
			p = in.Target
		case plain(in) && (row.Kind == isa.KindALU || row.Kind == isa.KindLoadImm):
			p++
		default:
			return out
		}
	}
	return out
}

// meeting is where two ways meet first, as places in each; two exits meet. It is
// negative if they do not.
func (r *run) meeting(a, b []int) (int, int) {
	for i, p := range a {
		for j, q := range b {
			if p == q || r.f.Insns[p].Row().Kind == isa.KindExit && r.f.Insns[q].Row().Kind == isa.KindExit {
				return i, j
			}
		}
	}
	return -1, -1
}

func (r *run) along(k int, code []int, cond smt.Term) (way, bool) {
	w := way{st: r.vals.Before[k].Clone(), cond: cond}
	for _, p := range code {
		if r.f.Insns[p].Row().Kind == isa.KindJump {
			continue
		}
		if _, err := r.vals.E.Step(w.st, &r.f.Insns[p]); err != nil {
			return w, false
		}
		w.code = append(w.code, p)
	}
	return w, true
}

// onlyChoice is the one register wanted at the join that the two ways leave with
// different values; all others are as they were at k.
func (r *run) onlyChoice(k, join int, a, b *symex.State) (isa.Reg, bool) {
	d, found := isa.R0, false
	for x := isa.R0; x < isa.FP; x++ {
		if !r.live.Before[join].Has(x) || a.Regs[x] == b.Regs[x] && a.Regs[x] == r.vals.Before[k].Regs[x] {
			continue
		}
		if found {
			return 0, false
		}
		d, found = x, true
	}
	return d, found
}

// signedDivision is code for d that may compute what both ways leave there.
func (r *run) signedDivision(k int, op isa.Op, d isa.Reg, by int64, ways ...way) ([]prog.Insn, bool) {
	if op == 0 {
		return nil, false
	}
	for x := isa.R0; x < isa.FP; x++ {
		if !r.f.Insns[k].Use().Has(x) {
			continue
		}
		var code []prog.Insn
		st := r.vals.Before[k].Clone()
		if x != d {
			code = append(code, r.at(k, movReg(d, x)))
		}
		code = append(code, r.at(k, isa.Insn{Op: op, Dst: d, Imm: by}))
		for i := range code {
			if _, err := r.vals.E.Step(st, &code[i]); err != nil {
				return nil, false
			}
		}
		if !slices.ContainsFunc(ways, func(w way) bool {
			return r.vals.C.Quick(w.cond, r.vals.C.Ne(w.st.Regs[d], st.Regs[d])) == smt.Sat
		}) {
			return code, true
		}
	}
	return nil, false
}

// replaceWays puts code in the place of the branch at k, and goes on at the join.
func (r *run) replaceWays(k, join int, code []prog.Insn) bool {
	if !r.ok(k, "one signed division: %s", text(&r.f.Insns[k])) {
		return false
	}
	code = append(code, r.at(k, isa.Insn{Op: isa.Ja}))
	code[len(code)-1].Target = join
	if err := r.g.Splice(k, k+1, code); err != nil {
		r.changes = r.changes[:len(r.changes)-1]
		return false
	}
	return true
}
