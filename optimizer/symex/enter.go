package symex

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// Caller is what a call keeps of its caller: where it goes on, and the registers
// that the called function leaves as they are.
type Caller struct {
	At   int // the instruction after the call; 0: there is no caller
	kept [isa.NumRegs]smt.Term
}

// Enter executes a call by going into the function, whose code is executed next.
// How far its frame is from the caller's is not known. No more than one function is
// entered at a time.
func (e *Engine) Enter(s *State, next int) Caller {
	from := Caller{next, s.Regs}
	for r := isa.R0; r < isa.FP; r++ {
		if !isa.ArgRegs.Has(r) {
			s.Regs[r] = 0
		}
	}
	if e.calleeFP == 0 {
		e.calleeFP = e.C.Var("callee-fp", 64)
		e.SetRegion(e.calleeFP, Region{Kind: Stack})
	}
	s.Regs[isa.FP] = e.calleeFP
	s.Callee = new([isa.StackSize]smt.Term)
	for i := range s.Callee {
		// Not written yet: unknown, and the same unknown in both programs.
		s.Callee[i] = e.callee(i)
	}
	return from
}

// callee is byte i of the frame that a function finds on entry.
func (e *Engine) callee(i int) smt.Term {
	return e.C.UF("callee-at-entry", 8, e.C.Const(uint64(i), 16))
}

// Leave executes the exit of a function that was entered.
func (e *Engine) Leave(s *State, to Caller) {
	for r := isa.R1; r <= isa.R5; r++ {
		s.Regs[r] = 0
	}
	for r := isa.R6; r <= isa.FP; r++ {
		s.Regs[r] = to.kept[r]
	}
	s.Callee = nil
}

// Inside says whether the next instructions are those of a function that was
// entered.
func (e *Engine) Inside(yes bool) { e.inside = yes }

// MayEnter tells whether pointers of unknown origin in that function, which its
// calls may return, are what they may be in the engine's own.
func (e *Engine) MayEnter(sees bool) bool { return e.hidden || !sees }
