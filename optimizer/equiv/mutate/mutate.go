// Package mutate damages functions: the raw material of tests that must notice.
//
// Each kind of damage is one that a careless optimizer does: an instruction
// dropped, exchanged with the next, copied or inserted, a constant or offset
// that is off, a wrong width, sign, register, operation or jump target, a zero
// extension that is lost, stores in another order, a check that is skipped. To
// add a kind, add a case.
package mutate

import (
	"math/rand/v2"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Damage changes one place of f and names what it did; empty when the place
// did not suit. The result may be no valid function: ask prog.Check.
func Damage(r *rand.Rand, f *prog.Func) string {
	k := r.IntN(len(f.Insns))
	in := &f.Insns[k]
	row := in.Row()
	pick := func(list ...int64) int64 { return list[r.IntN(len(list))] }
	turn := func(op isa.Op) bool {
		if op == 0 || op == in.Op {
			return false
		}
		in.Op = op
		return true
	}
	switch r.IntN(15) {
	case 0:
		if row.Kind == isa.KindExit || row.Kind == isa.KindJump {
			return ""
		}
		*in = prog.New(isa.Insn{Op: isa.Nop})
		return "drop"
	case 1:
		if k+1 == len(f.Insns) || in.Target >= 0 || f.Insns[k+1].Target >= 0 || row.Kind == isa.KindExit || f.Insns[k+1].Row().Kind == isa.KindExit {
			return ""
		}
		f.Insns[k], f.Insns[k+1] = f.Insns[k+1], f.Insns[k]
		return "swap"
	case 2:
		if !row.Imm || in.Ref != nil || row.Kind == isa.KindCallHelper {
			return ""
		}
		in.Imm = int64(int32(in.Imm + pick(1, -1, 8, -8, 1<<16, -in.Imm, -2*in.Imm, int64(1)<<r.IntN(31))))
		return "constant"
	case 3:
		if row.Kind != isa.KindLoad && row.Kind != isa.KindStore && row.Kind != isa.KindAtomic {
			return ""
		}
		in.Off += int16(pick(1, -1, 2, -2, 4, -4, 8, -8))
		return "offset"
	case 4:
		switch row.Kind {
		case isa.KindALU:
			if turn(isa.ALU(row.Fn, 96-row.Width, row.Imm)) {
				return "alu width"
			}
		case isa.KindCondJump:
			if turn(isa.CondJump(row.Fn, 96-row.Width, row.Imm)) {
				return "jump width"
			}
		case isa.KindLoad:
			if turn(isa.Load(uint8(pick(8, 16, 32, 64)), row.Signed)) {
				return "load width"
			}
		case isa.KindStore:
			if turn(isa.Store(uint8(pick(8, 16, 32, 64)), row.Imm)) {
				return "store width"
			}
		case isa.KindAtomic:
			if turn(isa.Store(row.Width, false)) {
				return "atomic removed"
			}
		}
	case 5:
		if row.Kind == isa.KindLoad && turn(isa.Load(row.Width, !row.Signed)) {
			return "load sign"
		}
		swap := map[isa.Fn]isa.Fn{isa.FnDiv: isa.FnSDiv, isa.FnSDiv: isa.FnDiv, isa.FnMod: isa.FnSMod, isa.FnSMod: isa.FnMod, isa.FnRsh: isa.FnArsh, isa.FnArsh: isa.FnRsh,
			isa.FnJgt: isa.FnJsgt, isa.FnJge: isa.FnJsge, isa.FnJlt: isa.FnJslt, isa.FnJle: isa.FnJsle, isa.FnJsgt: isa.FnJgt, isa.FnJsge: isa.FnJge, isa.FnJslt: isa.FnJlt, isa.FnJsle: isa.FnJle}
		if fn, ok := swap[row.Fn]; ok {
			op := isa.ALU(fn, row.Width, row.Imm)
			if row.Kind == isa.KindCondJump {
				op = isa.CondJump(fn, row.Width, row.Imm)
			}
			if turn(op) {
				return "sign"
			}
		}
	case 6:
		if in.IsCall() || row.Kind == isa.KindExit || row.Kind == isa.KindJump {
			return ""
		}
		in.Dst = isa.Reg(r.IntN(10))
		return "destination"
	case 7:
		if row.Imm || in.IsCall() || row.Kind == isa.KindExit || row.Kind == isa.KindJump {
			return ""
		}
		in.Src = isa.Reg(r.IntN(11))
		return "source"
	case 8:
		if in.Target < 0 {
			return ""
		}
		in.Target = r.IntN(len(f.Insns))
		return "target"
	case 9:
		inverse := map[isa.Fn]isa.Fn{isa.FnJeq: isa.FnJne, isa.FnJne: isa.FnJeq, isa.FnJgt: isa.FnJge, isa.FnJge: isa.FnJgt, isa.FnJlt: isa.FnJle, isa.FnJle: isa.FnJlt, isa.FnJset: isa.FnJeq,
			isa.FnAdd: isa.FnOr, isa.FnOr: isa.FnXor, isa.FnXor: isa.FnAdd, isa.FnSub: isa.FnAdd, isa.FnAnd: isa.FnOr, isa.FnLsh: isa.FnRsh}
		fn, ok := inverse[row.Fn]
		if ok && (row.Kind == isa.KindCondJump && turn(isa.CondJump(fn, row.Width, row.Imm)) || row.Kind == isa.KindALU && turn(isa.ALU(fn, row.Width, row.Imm)) ||
			row.Kind == isa.KindAtomic && turn(isa.Atomic(fn, row.Width, row.Fetch))) {
			return "operation"
		}
	case 10:
		o := f.Insns[r.IntN(len(f.Insns))]
		if in.Target >= 0 || o.Target >= 0 || row.Kind == isa.KindExit {
			return ""
		}
		*in = o
		return "copy"
	case 11:
		j := r.IntN(len(f.Insns))
		o := f.Insns[j]
		if o.Target >= 0 || f.Splice(k, k, []prog.Insn{o}) != nil {
			return ""
		}
		return "insert"
	case 12: // wN = wN and its like
		if row.Kind != isa.KindALU || row.Fn != isa.FnMov || row.Width != 32 || row.Imm {
			return ""
		}
		if in.Dst == in.Src {
			*in = prog.New(isa.Insn{Op: isa.Nop})
		} else {
			in.Op = isa.ALU(isa.FnMov, 64, false)
		}
		return "zero extension lost"
	case 13: // the next store goes first
		for j := k + 1; j < len(f.Insns) && row.Kind == isa.KindStore; j++ {
			if f.Insns[j].Target >= 0 || f.Insns[j].IsCall() {
				break
			}
			if f.Insns[j].Row().Kind == isa.KindStore {
				f.Insns[k], f.Insns[j] = f.Insns[j], f.Insns[k]
				return "stores reordered"
			}
		}
	case 14:
		if row.Kind != isa.KindCondJump {
			return ""
		}
		if r.IntN(2) == 0 {
			*in = prog.New(isa.Insn{Op: isa.Nop})
		} else {
			to := in.Target
			*in = prog.New(isa.Insn{Op: isa.ByName("ja")})
			in.Target = to
		}
		return "check skipped"
	}
	return ""
}
