package prog

import (
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// FirstInlined is the Origin of the first instruction that came from the body of
// a function that was called: no function has that many of its own.
const FirstInlined = 1 << 24

// Inlined is the body of a function that took the place of a call. Instruction i
// of it has the origin First+i.
type Inlined struct {
	First int
	// Call is the origin of the call, Callee the function that was called.
	Call   int
	Callee *Func
	// Runs is how often each instruction of the body runs in one call.
	Runs []float64
}

// nextInlined is the origin that the next body begins with.
func (f *Func) nextInlined() int {
	if n := len(f.Inlined); n > 0 {
		return f.Inlined[n-1].First + len(f.Inlined[n-1].Callee.Insns)
	}
	return FirstInlined
}

// AddInlined notes that the body of g is about to take the place of a call with
// that origin, and returns the origin of its first instruction.
func (f *Func) AddInlined(call int, g *Func, runs []float64) int {
	at := f.nextInlined()
	f.Inlined = append(slices.Clip(f.Inlined), Inlined{at, call, g, runs})
	return at
}

// InlinedAt finds the body and the instruction of it that an origin stands for.
func (f *Func) InlinedAt(origin int) (*Inlined, int, bool) {
	for k := range f.Inlined {
		if i := &f.Inlined[k]; origin >= i.First && origin < i.First+len(i.Callee.Insns) {
			return i, origin - i.First, true
		}
	}
	return nil, 0, false
}

// MaxInlined bounds the body that may take the place of a call, in instructions.
const MaxInlined = 200

// Enterable reports why the body of g may not stand for a call of it; nil if it
// may. It has to be the body that runs: other programs may replace global
// functions in the kernel, a linker weak ones. And it has to do what it does
// wherever it stands: a tail call returns to the caller, a load from the packet by
// LD_ABS may; a helper that looks at the call stack sees another one.
func Enterable(g *Func) error {
	switch {
	case g.Entry || g.Global:
		return fmt.Errorf("%s is global: what runs in its place is decided when programs are loaded", g.Name)
	case g.Unsupported != "" || len(g.Insns) == 0:
		return fmt.Errorf("%s could not be read", g.Name)
	case len(g.Insns) > MaxInlined:
		return fmt.Errorf("%s is too large", g.Name)
	case Check(g) != nil:
		return Check(g)
	}
	for k := range g.Insns {
		in := &g.Insns[k]
		switch in.Row().Kind {
		case isa.KindLoadPacket, isa.KindMayGoto, isa.KindCallReg:
			return fmt.Errorf("%s: %s depends on the function that it is in", g.Name, in.Row().Name)
		case isa.KindCallHelper:
			if h := int32(in.Imm); slices.Contains(frameHelpers, h) || isa.HelperOf(h).Name == "" {
				return fmt.Errorf("%s: a call of helper %d may depend on the function that it is in", g.Name, h)
			}
		case isa.KindCallKfunc, isa.KindCallFunc:
			switch r := in.Ref; {
			case r == nil || r.Kind != RefFunc && r.Kind != RefKfunc:
				return fmt.Errorf("%s calls what is not known", g.Name)
			case r.Kind == RefFunc && r.Name == g.Name:
				return fmt.Errorf("%s calls itself", g.Name)
			case r.Kind == RefKfunc && slices.Contains(frameKfuncs, r.Name):
				return fmt.Errorf("%s calls %s, which walks the call stack", g.Name, r.Name)
			}
		}
		if in.Ref != nil && in.Ref.Kind == RefOpaque && (in.Ref.Name == "" || in.Row().Kind != isa.KindLoadImm) {
			return fmt.Errorf("%s refers to %s, which is not known", g.Name, in.Ref.Name)
		}
	}
	for _, head := range NewCFG(g).LoopHeads() {
		if head {
			return fmt.Errorf("%s has a loop", g.Name)
		}
	}
	return nil
}

// frameHelpers act on the function that calls them: tail_call ends it, the others
// look at the call stack (get_stackid, get_stack, get_task_stack).
var frameHelpers = []int32{12, 27, 67, 141}

// frameKfuncs are kernel functions that look at the call stack.
var frameKfuncs = []string{"bpf_throw", "bpf_stream_print_stack"}

// CallsOf counts the direct calls in f by the name of the function called.
func CallsOf(f *Func) map[string]int {
	n := map[string]int{}
	for k := range f.Insns {
		if in := &f.Insns[k]; in.Row().Kind == isa.KindCallFunc && in.Ref != nil && in.Ref.Kind == RefFunc {
			n[in.Ref.Name]++
		}
	}
	return n
}
