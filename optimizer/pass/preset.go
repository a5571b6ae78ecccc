package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxPreset bounds the instructions that preset takes out of a branch.
const maxPreset = 2

// preset computes before a branch what only one way needs, so that this way
// needs no code of its own: `if c goto L; ...; L: x = 1; goto T` becomes
// `x = 1; if c goto T`, and a row of choices a row of tests. Where x has another
// use on the other way and is a constant there, that is set again behind the
// branch.
func preset(r *run) {
	for b := range r.cfg.Blocks {
		blk := &r.cfg.Blocks[b]
		if r.cfg.Pos[b] < 0 || len(blk.Preds) != 1 || blk.From == 0 {
			continue
		}
		branch := r.cfg.Blocks[blk.Preds[0]].To - 1
		in := &r.f.Insns[branch]
		if in.Row().Kind != isa.KindCondJump || in.Frozen() || in.Target == branch+1 || branch >= blk.From && branch < blk.To {
			continue
		}
		if r.presetBlock(branch, blk) {
			return // positions changed: one a run
		}
	}
}

// presetBlock empties a block that only the branch leads to.
func (r *run) presetBlock(branch int, blk *prog.Block) bool {
	last := blk.To - 1
	end := r.f.Insns[last].Row().Kind
	n := last - blk.From // instructions to move
	to := blk.To
	switch end {
	case isa.KindJump:
		to = r.f.Insns[last].Target
	case isa.KindExit:
		if to = r.otherExit(last); to < 0 {
			return false
		}
	default:
		if n++; r.f.Insns[last].EndsBlock() || r.f.Insns[last].Target >= 0 || to >= len(r.f.Insns) {
			return false
		}
	}
	if n < 1 || n > maxPreset {
		return false
	}
	in := &r.f.Insns[branch]
	taken := in.Target == blk.From
	other := in.Target
	if taken {
		other = branch + 1
	} else if other != blk.To {
		return false // the other way would have to be jumped to
	}
	var defs isa.RegSet
	for k := blk.From; k < blk.From+n; k++ {
		x := &r.f.Insns[k]
		if !plain(x) || x.Row().Kind == isa.KindLoad || x.Def()&in.Use() != 0 {
			return false
		}
		defs |= x.Def()
	}
	jump := r.g.Insns[branch]
	if !taken {
		inv, ok := r.inverse(in)
		if !ok {
			return false
		}
		jump.Op = isa.CondJump(inv, in.Row().Width, in.Row().Imm)
	}
	again, ok := r.setAgain(branch, other, taken, defs)
	if !ok || to == branch || !r.ok(blk.From, "before the branch: %s", text(&r.f.Insns[blk.From])) {
		return false
	}
	jump.Target = to
	var head []prog.Insn
	for k := blk.From; k < blk.From+n; k++ {
		head = append(head, r.f.Insns[k])
		r.nop(k)
	}
	if end == isa.KindJump || end == isa.KindExit {
		r.nop(last)
	}
	head = append(head, jump)
	if err := r.g.Splice(branch, branch+1, append(head, again...)); err != nil {
		panic("pass: one instruction was replaced: " + err.Error())
	}
	return true
}

// setAgain is what the other way of a branch needs if registers lose their
// values before it: nothing, or a constant.
func (r *run) setAgain(branch, other int, taken bool, defs isa.RegSet) ([]prog.Insn, bool) {
	lost := r.live.Before[other] & defs
	if lost == 0 {
		return nil, true
	}
	st := r.vals.Before[branch]
	if !taken || !r.lonely(other) || st == nil {
		return nil, false
	}
	var out []prog.Insn
	for x := isa.R0; x <= isa.R9; x++ {
		if !lost.Has(x) {
			continue
		}
		if st.Regs[x] == 0 {
			return nil, false
		}
		v, ok := r.vals.C.IsConst(st.Regs[x])
		if !ok {
			return nil, false
		}
		in, ok := r.movConst(x, v)
		if !ok {
			return nil, false
		}
		out = append(out, r.at(branch, in))
	}
	return out, true
}

// otherExit is an exit besides the one at k, -1 if there is none.
func (r *run) otherExit(k int) int {
	for x := len(r.f.Insns) - 1; x >= 0; x-- {
		if x != k && r.f.Insns[x].Row().Kind == isa.KindExit && r.cfg.Reachable(x) {
			return x
		}
	}
	return -1
}
