package symex

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// staysInFrame: n bytes at addr, which is no constant distance from the frame pointer,
// are in the frame. The first function passed the verifier; a store of its replacement
// has to be where one of the first function is, or its bits have to show it: what lies
// beyond the frame is not part of the state.
func (e *Engine) staysInFrame(addr smt.Term, n int) bool {
	if e.side == 0 {
		e.stored[addr] = max(e.stored[addr], n)
		return true
	}
	return n <= e.stored[addr] || e.within(e.C.Sub(addr, e.fp), n) || e.calleeFP != 0 && e.within(e.C.Sub(addr, e.calleeFP), n)
}

// within: n bytes at a distance from a frame pointer are in its frame.
func (e *Engine) within(distance smt.Term, n int) bool {
	const far = 1 << 32
	x := e.C.Node(distance)
	args, coef, low := x.Args, x.Coef, int64(x.K)
	if x.Op != smt.OpSum {
		args, coef, low = []smt.Term{distance}, []uint64{1}, 0
	}
	high := low
	for i, t := range args {
		zeros, _ := e.C.Known(t)
		if ^zeros >= far || coef[i] >= isa.StackSize {
			return false
		}
		high += int64(^zeros * coef[i])
	}
	return low >= -isa.StackSize && high <= int64(-n)
}
