package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// raise stores a value when it is there instead of keeping it over calls in a
// register of its own until then: `r6 = *(r1 + 8); call; r6 &= 7; *(r10 - 8) = r6`
// becomes `r1 = *(r1 + 8); r1 &= 7; *(r10 - 8) = r1; call`.
func raise(r *run) {
	for s := range r.f.Insns {
		in := &r.f.Insns[s]
		row := in.Row()
		if row.Kind != isa.KindStore || row.Imm || in.Dst != isa.FP || !isa.CalleeSaved.Has(in.Src) || in.Frozen() || r.live.After[s].Has(in.Src) || !r.cfg.Reachable(s) {
			continue
		}
		chain, def, ok := r.since(s, in.Src)
		if !ok {
			continue
		}
		y, ok := r.scratchAfter(def)
		if !ok || !r.ok(s, "stored at once: %s", text(in)) {
			continue
		}
		d := r.f.Insns[def].Insn
		d.Dst = y
		r.set(def, d)
		var code []prog.Insn
		for _, k := range append(chain, s) {
			x := r.f.Insns[k]
			if k == s {
				x.Src = y
			} else {
				x.Dst = y
			}
			code = append(code, x)
			r.nop(k)
		}
		r.later(def+1, code...)
		return // what is free has changed: one a run
	}
}

// since finds, in the block of s and behind a call, the definition of x that s
// sees and the operations with constants that were done to it.
func (r *run) since(s int, x isa.Reg) (chain []int, def int, ok bool) {
	calls := false
	for k := s - 1; k >= r.cfg.Blocks[r.cfg.BlockOf[s]].From; k-- {
		in := &r.f.Insns[k]
		row := in.Row()
		calls = calls || in.IsCall()
		switch {
		case in.Def().Has(x) && !in.Use().Has(x):
			return chain, k, calls && plain(in) && in.Slots() == 1
		case in.Def().Has(x) && row.Kind == isa.KindALU && (row.Imm || !row.ReadsSrc) && !in.Frozen():
			chain = append([]int{k}, chain...)
		case in.Def().Has(x) || in.Use().Has(x):
			return nil, 0, false
		}
	}
	return nil, 0, false
}

// scratchAfter is a register for what instruction def gives that no call keeps
// and nothing behind it reads.
func (r *run) scratchAfter(def int) (isa.Reg, bool) {
	for y := isa.R0; y <= isa.R5; y++ {
		if !r.live.After[def].Has(y) {
			return y, true
		}
	}
	return 0, false
}
