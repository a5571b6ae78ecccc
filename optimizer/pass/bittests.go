package pass

import "github.com/superbpf/superbpf/optimizer/isa"

// bitTests tests a bit of a constant of two slots, as compilers make them of switches,
// by shifting the constant instead of a one: `a = 1; a <<= x; c = K ll; a &= c;
// if a != 0` becomes `c = K ll; c >>= x; if c & 1`.
func bitTests(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		if row.Kind != isa.KindCondJump || !equality(row.Fn) || !row.Imm || row.Width != 64 || in.Imm != 0 || in.Frozen() || r.live.After[k].Has(in.Dst) {
			continue
		}
		// Backwards over what has to do with a, from the test to the shift.
		a, and := in.Dst, -1
		for p := k - 1; p >= r.cfg.Blocks[r.cfg.BlockOf[k]].From; p-- {
			x := &r.f.Insns[p]
			fn := x.Row().Fn
			if !x.Def().Has(a) && !x.Use().Has(a) {
				continue
			}
			if x.Row().Kind != isa.KindALU || x.Dst != a || x.Src == a || x.Row().Imm || x.Row().Width != 64 {
				break
			}
			if and < 0 && fn == isa.FnAnd {
				and = p
				continue
			}
			if and >= 0 && fn == isa.FnLsh {
				r.shiftedBit(p, and, k)
			}
			break
		}
	}
}

// shiftedBit rewrites the test at k of what the shift and the mask before it give.
func (r *run) shiftedBit(shift, and, k int) {
	a, x, c := r.f.Insns[k].Dst, r.f.Insns[shift].Src, r.f.Insns[and].Src
	if r.vals.Before[shift] == nil || r.vals.Before[and] == nil || x == c || r.live.After[and].Has(c) {
		return
	}
	one, ok := r.vals.C.IsConst(r.vals.Before[shift].Regs[a])
	if !ok || one != 1 {
		return
	}
	if _, ok := r.vals.C.IsConst(r.vals.Before[and].Regs[c]); !ok {
		return
	}
	for p := shift + 1; p < k; p++ {
		if d := r.f.Insns[p].Def(); d.Has(x) && p < and || d.Has(c) && p > and {
			return
		}
	}
	if !r.ok(k, "shifts what is tested, not the bit: %s", text(&r.f.Insns[shift])) {
		return
	}
	right := isa.Insn{Op: isa.ALU(isa.FnRsh, 64, false), Dst: c, Src: x}
	r.nop(shift)
	r.set(and, right)
	jump := r.at(k, isa.Insn{Op: isa.CondJump(isa.FnJset, 64, true), Dst: c, Imm: 1})
	jump.Target = r.f.Insns[k].Target
	if r.f.Insns[k].Row().Fn == isa.FnJne {
		r.g.Insns[k] = jump
		return
	}
	jump.Insn = isa.Insn{Op: isa.CondJump(isa.FnJeq, 64, true), Dst: c}
	r.replaceLater(k, r.at(k, isa.Insn{Op: isa.ALU(isa.FnAnd, 64, true), Dst: c, Imm: 1}), jump)
}
