package symex

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// Gives tells whether an operation or a conditional jump may give the term goal on s,
// as its result or its condition: if not, Step would not make that term. That is
// found by trying some values, which takes less time than making terms.
func (e *Engine) Gives(s *State, in *prog.Insn, goal smt.Term) bool {
	row := in.Row()
	x, readsDst, readsSrc := row.Result, row.ReadsDst, row.ReadsSrc
	switch row.Kind {
	case isa.KindALU:
	case isa.KindCondJump:
		x, readsDst, readsSrc = row.Cond, true, !row.Imm
	default:
		return true
	}
	if in.Patched() || readsDst && s.Regs[in.Dst] == 0 || readsSrc && s.Regs[in.Src] == 0 {
		return true // Step knows
	}
	want := e.C.Guess(goal)
	var dst, src [smt.Guesses]uint64
	if readsDst {
		dst = *e.C.Guess(s.Regs[in.Dst])
	}
	if readsSrc {
		src = *e.C.Guess(s.Regs[in.Src])
	}
	v := &e.guess
	v.imm = uint64(in.Imm)
	for i := range want {
		v.dst, v.src = dst[i], src[i]
		if isa.Eval[uint64](x, v) != want[i] {
			return false
		}
	}
	return true
}

// numbers is the isa.Domain of numbers for one instruction.
type numbers struct {
	isa.Numbers
	dst, src, imm uint64
}

// Leaf implements isa.Domain.
func (n *numbers) Leaf(op isa.ExprOp, _ uint8) uint64 {
	switch op {
	case isa.ExprDst:
		return n.dst
	case isa.ExprSrc:
		return n.src
	case isa.ExprImm:
		return n.imm
	}
	panic("symex: an operation has no such operand")
}
