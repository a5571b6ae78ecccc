package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// maker is code of two slots that sets a register to an address.
type maker struct {
	from, to int // instructions [from,to)
	reg      isa.Reg
}

// bases keeps an address of two slots (a map, a place in the frame) in a
// callee-saved register, if that is shorter than making it again and again.
func bases(r *run) {
	makers := map[smt.Term][]maker{}
	var order []smt.Term
	for k := range r.f.Insns {
		m, t, ok := r.makes(k)
		if !ok {
			continue
		}
		if makers[t] == nil {
			order = append(order, t)
		}
		makers[t] = append(makers[t], m)
	}
	for _, t := range order {
		for i, first := range makers[t] {
			// All that come after the first on every way, the nearest first.
			var rest []maker
			for _, m := range makers[t][i+1:] {
				if r.before(first.from, m.from) {
					rest = append(rest, m)
				}
			}
			if len(rest) >= 2 && r.keepBase(first, rest) {
				return // positions changed: one a run
			}
		}
	}
}

// makes tells whether an address is made at k, in two slots.
func (r *run) makes(k int) (maker, smt.Term, bool) {
	in := &r.f.Insns[k]
	if !r.cfg.Reachable(k) || in.Frozen() {
		return maker{}, 0, false
	}
	m := maker{k, k + 1, in.Dst}
	if in.Row().Kind == isa.KindLoadImm && in.Slots() == 2 {
		t, ok := r.result(k)
		return m, t, ok
	}
	if row := in.Row(); row.Kind != isa.KindALU || row.Fn != isa.FnMov || row.Imm || row.Width != 64 || in.Src != isa.FP || k+1 >= len(r.f.Insns) {
		return m, 0, false
	}
	add := &r.f.Insns[k+1]
	row := add.Row()
	if row.Kind != isa.KindALU || row.Fn != isa.FnAdd || !row.Imm || row.Width != 64 || add.Dst != in.Dst || r.cfg.BlockOf[k] != r.cfg.BlockOf[k+1] {
		return m, 0, false
	}
	m.to = k + 2
	t, ok := r.result(k + 1)
	return m, t, ok
}

// keepBase finds a register that is free from the first maker to as many of
// the others as it takes.
func (r *run) keepBase(first maker, rest []maker) bool {
	preds := r.preds()
	best, reg := []maker(nil), isa.Reg(0)
	for y := isa.R6; y <= isa.R9; y++ {
		if r.live.After[first.to-1].Has(y) || r.f.Insns[first.from].Dst == y {
			continue
		}
		var reach []maker
		for _, m := range rest {
			free := true
			for p := range between(first.to-1, m.from, preds) {
				free = free && !r.live.Before[p].Has(y) && (p == m.from || !r.f.Insns[p].Def().Has(y))
			}
			if free {
				reach = append(reach, m)
			}
		}
		if len(reach) > len(best) || len(reach) == len(best) && r.usesReg(y) && !r.usesReg(reg) {
			best, reg = reach, y
		}
	}
	if len(best) < 2 || !r.ok(first.from, "r%d holds it for %d places: %s", reg, len(best), text(&r.f.Insns[first.to-1])) {
		return false
	}
	for _, m := range best {
		for k := m.from; k < m.to; k++ {
			r.nop(k)
		}
		r.set(m.from, movReg(m.reg, reg))
	}
	repl := slices.Clone(r.f.Insns[first.from:first.to])
	for k := range repl {
		repl[k].Dst = reg
	}
	repl = append(repl, r.at(first.to-1, movReg(first.reg, reg)))
	// Targets in g are still those of f.
	if err := r.g.Splice(first.from, first.to, repl); err != nil {
		r.changes = r.changes[:len(r.changes)-1]
		return false
	}
	return true
}
