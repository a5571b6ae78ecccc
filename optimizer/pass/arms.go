package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// chains turns a decision tree over one register's values into a chain: the
// comparison that splits the range goes, and what found no match in the lower
// half goes on in the upper one.
func chains(r *run) {
	used := map[int]bool{}
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindCondJump || in.Frozen() || !in.Row().Imm || equality(in.Row().Fn) || in.Row().Fn == isa.FnJset || !r.cfg.Reachable(k) {
			continue
		}
		for p := k + 1; p < len(r.f.Insns) && !used[p]; p++ {
			x := &r.f.Insns[p]
			row := x.Row()
			if (row.Kind == isa.KindALU || row.Kind == isa.KindLoadImm) && x.Def()&(in.Use()|r.live.Before[in.Target]) == 0 {
				continue // the other half has no use for it
			}
			isCompare := row.Kind == isa.KindCondJump && equality(row.Fn) && x.Dst == in.Dst
			if row.Kind != isa.KindJump && !isCompare || x.Frozen() {
				break
			}
			if isCompare && row.Fn == isa.FnJeq {
				continue
			}
			if p > k+1 && x.Target != in.Target && r.ok(k, "all values in one chain: %s", text(in)) {
				used[p] = true
				r.g.Insns[p].Target = in.Target
				r.nop(k)
			}
			break
		}
	}
}

func equality(fn isa.Fn) bool { return fn == isa.FnJeq || fn == isa.FnJne }

// neutral tells whether `y op= k` leaves y as it is, the upper half aside if
// it works on 32 bits.
func neutral(row *isa.Row, k uint64) bool {
	switch row.Fn {
	case isa.FnAdd, isa.FnSub, isa.FnOr, isa.FnXor, isa.FnLsh, isa.FnRsh, isa.FnArsh:
		return k == 0
	case isa.FnMul, isa.FnDiv:
		return k == 1
	case isa.FnAnd:
		return k == ^uint64(0)
	}
	return false
}

// arms replaces the choice of an operand by the choice whether to operate:
// `x = 1; if c goto L; x = 0; L: y += x` becomes `if !c goto L; y += 1; L:`.
func arms(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		j := k + 2
		if in.Row().Kind != isa.KindCondJump || in.Frozen() || in.Target != j || j+1 >= len(r.f.Insns) || r.vals.Before[k] == nil || r.vals.Before[k+1] == nil {
			continue
		}
		arm, use := &r.f.Insns[k+1], &r.f.Insns[j]
		row := use.Row()
		if !plain(arm) || row.Kind != isa.KindALU || row.Imm || !row.ReadsDst || use.Dst == arm.Dst || use.Src != arm.Dst || r.live.After[j].Has(arm.Dst) {
			continue
		}
		if len(r.cfg.Blocks[r.cfg.BlockOf[j]].Preds) != 2 || !r.lonely(k+1) {
			continue
		}
		st, err := r.vals.After(k+1, arm)
		if err != nil || r.vals.Before[k].Regs[arm.Dst] == 0 || r.vals.Before[k].Regs[use.Dst] == 0 {
			continue
		}
		if z, _ := r.vals.C.Known(r.vals.Before[k].Regs[use.Dst]); row.Width == 32 && z>>32 != 1<<32-1 {
			continue // a 32-bit operation would clear the upper half
		}
		taken, ok1 := r.vals.C.IsConst(r.vals.Before[k].Regs[arm.Dst])
		falls, ok2 := r.vals.C.IsConst(st.Regs[arm.Dst])
		op := isa.ALU(row.Fn, row.Width, true)
		if !ok1 || !ok2 || op == 0 {
			continue
		}
		jump, amount := in.Insn, falls
		if neutral(row, falls) {
			inv, ok := r.inverse(in)
			if !ok {
				continue
			}
			jump.Op, amount = isa.CondJump(inv, in.Row().Width, in.Row().Imm), taken
		} else if !neutral(row, taken) {
			continue
		}
		if int64(amount) != int64(int32(amount)) || !r.ok(j, "operates only where it matters: %s", text(use)) {
			continue
		}
		r.set(k, jump)
		r.g.Insns[k].Target = j + 1
		r.nop(k + 1)
		r.g.Insns[j] = prog.Insn{Insn: isa.Insn{Op: op, Dst: use.Dst, Imm: int64(amount)}, Target: -1, Origin: use.Origin}
	}
}
