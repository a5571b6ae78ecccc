package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// storeArms stores a choice of two values in the arms of the branch instead of
// after it: `x = a; if c goto L; x = b; L: *p = x` becomes
// `*p = a; if c goto L; *p = b; L:`. Only the stack may see both values.
func storeArms(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		j := k + 2
		if in.Row().Kind != isa.KindCondJump || in.Frozen() || in.Target != j || j+1 >= len(r.f.Insns) || r.vals.Before[k] == nil || r.vals.Before[k+1] == nil {
			continue
		}
		arm := &r.f.Insns[k+1]
		if len(r.cfg.Blocks[r.cfg.BlockOf[j]].Preds) != 2 || !r.lonely(k+1) || in.Use().Has(arm.Dst) {
			continue
		}
		j = r.firstUse(j, arm.Dst)
		use := &r.f.Insns[j]
		row := use.Row()
		if !plain(arm) || row.Kind != isa.KindStore || row.Imm || use.Frozen() || use.Dst != isa.FP || use.Src != arm.Dst || r.live.After[j].Has(arm.Dst) {
			continue
		}
		st, err := r.vals.After(k+1, arm)
		if err != nil || r.vals.Before[k].Regs[arm.Dst] == 0 {
			continue
		}
		taken, ok1 := r.storeWithout(arm.Dst, r.vals.Before[k], r.live.Before[k], j)
		falls, ok2 := r.storeWithout(arm.Dst, st, r.live.After[k+1], j)
		if !ok1 || !ok2 || !r.ok(j, "stores in the arms: %s", text(use)) {
			continue
		}
		r.g.Insns[k+1] = falls
		r.nop(j)
		r.later(k, taken)
	}
}

// firstUse is the first instruction of a block's from j on that reads x and can
// come before those up to there; j if there is none.
func (r *run) firstUse(j int, x isa.Reg) int {
	var passed []moved
	for u := j; u < min(r.cfg.Blocks[r.cfg.BlockOf[j]].To, j+maxBetween); u++ {
		m := r.moved(u)
		if m.Use().Has(x) {
			if m.apartFrom(passed) {
				return u
			}
			break
		}
		passed = append(passed, m)
	}
	return j
}

// storeWithout stores what store j does, with x as in st, but without x: a
// constant, or another register that is live.
func (r *run) storeWithout(x isa.Reg, st *symex.State, live isa.RegSet, j int) (prog.Insn, bool) {
	use := r.f.Insns[j].Insn
	width := r.f.Insns[j].Row().Width
	if v, ok := r.immediate(st.Regs[x], width); ok {
		if width < 32 {
			v = int64(uint64(v) & lowBits(width))
		}
		return r.at(j, isa.Insn{Op: isa.Store(width, true), Dst: isa.FP, Off: use.Off, Imm: v}), true
	}
	want := r.low(st.Regs[x], width)
	for y := isa.R0; y < isa.FP; y++ {
		if y != x && live.Has(y) && st.Regs[y] != 0 && r.low(st.Regs[y], width) == want {
			use.Src = y
			return r.at(j, use), true
		}
	}
	return prog.Insn{}, false
}
