package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// pairs compares with two neighbouring values one after the other, where a compiler
// subtracts the first and compares what is left: `t = x; t += -c; if t < 2` becomes
// `if x == c; if x == c + 1`.
func pairs(r *run) {
	for k := 1; k+1 < len(r.f.Insns); k++ {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindCondJump || !in.Row().Imm || in.Frozen() || !r.cfg.Reachable(k) {
			continue
		}
		inside, ok := insideTwo(in)
		if !ok || r.live.After[k].Has(in.Dst) || !r.lonely(k) {
			continue
		}
		from, x, c, width, ok := r.shiftedDown(k)
		if !ok || c != int64(int32(c)) || c+1 != int64(int32(c+1)) || width == 32 && r.MCPU < 3 || !r.ok(k, "one value after the other: %s", text(in)) {
			continue
		}
		first := r.at(k, isa.Insn{Op: isa.CondJump(isa.FnJeq, width, true), Dst: x, Imm: c})
		fn := isa.FnJne
		if first.Target = k + 1; inside {
			first.Target, fn = in.Target, isa.FnJeq
		}
		second := r.at(k, isa.Insn{Op: isa.CondJump(fn, width, true), Dst: x, Imm: c + 1})
		second.Target = in.Target
		for p := from; p < k; p++ {
			r.nop(p)
		}
		r.replaceLater(k, first, second)
	}
}

// insideTwo: the jump is taken where an unsigned value is below two, or where it is not.
func insideTwo(in *prog.Insn) (inside, ok bool) {
	switch fn := in.Row().Fn; {
	case fn == isa.FnJlt && in.Imm == 2, fn == isa.FnJle && in.Imm == 1:
		return true, true
	case fn == isa.FnJge && in.Imm == 2, fn == isa.FnJgt && in.Imm == 1:
		return false, true
	}
	return false, false
}

// shiftedDown: what jump k tests is x less c, of which that many bits count. It was made
// by the instructions from the first on.
func (r *run) shiftedDown(k int) (from int, x isa.Reg, c int64, width uint8, ok bool) {
	jump, add := &r.f.Insns[k], &r.f.Insns[k-1]
	row := add.Row()
	if row.Kind != isa.KindALU || row.Fn != isa.FnAdd && row.Fn != isa.FnSub || !row.Imm || add.Dst != jump.Dst || add.Frozen() || !r.lonely(k-1) && r.cfg.BlockOf[k-1] != r.cfg.BlockOf[k] {
		return 0, 0, 0, 0, false
	}
	if c = add.Imm; row.Fn == isa.FnAdd {
		c = -c
	}
	from, x, width = k-1, add.Dst, min(row.Width, jump.Row().Width)
	if k < 2 || r.cfg.BlockOf[k-2] != r.cfg.BlockOf[k] {
		return from, x, c, width, true
	}
	mov := &r.f.Insns[k-2]
	if row := mov.Row(); row.Kind == isa.KindALU && row.Fn == isa.FnMov && !row.Imm && row.Bits == 0 && mov.Dst == x && mov.Src != isa.FP && !mov.Frozen() {
		from, x, width = k-2, mov.Src, min(width, row.Width)
	}
	return from, x, c, width, true
}
