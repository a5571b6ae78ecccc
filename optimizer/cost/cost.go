// Package cost prices functions: slots, estimated time of the machine code,
// and what the kernel makes of the code before it runs.
//
// Invariant: every instruction row has a price above zero but the no-op, and a
// price depends on nothing except the function, the model and the weights.
//
// A price is that of the code after the kernel's rewriting: map operations cost
// what the map's type makes of them (inlined or called), constants what their
// encoding takes, callee-saved registers their push and pop, stack its frame,
// a branch more where traffic takes it than where it falls through, and a load the
// wait for the stores that it reads together.
//
// To add a cost, add a field to Estimate, fill it in Model.Func, and give
// Objective a case in Less.
package cost

import (
	"fmt"
	"math"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Objective is what the search lowers.
type Objective uint8

// The objectives.
const (
	Latency    Objective = iota // estimated nanoseconds a run, then slots
	Size                        // slots, then latency
	Complexity                  // instructions that the verifier processes, then slots
)

// ParseObjective reads an objective's name.
func ParseObjective(s string) (Objective, error) {
	switch s {
	case "latency", "":
		return Latency, nil
	case "size":
		return Size, nil
	case "complexity":
		return Complexity, nil
	}
	return 0, fmt.Errorf("unknown objective %q: latency, size or complexity", s)
}

func (o Objective) String() string { return [...]string{"latency", "size", "complexity"}[o] }

// Estimate is the price of a function.
type Estimate struct {
	Slots int
	// Nanoseconds is the expected time of one run under the weights given.
	Nanoseconds float64
	// Fetch is what its code takes, in nanoseconds, to come from the second cache
	// again after other code has had the first: all slots at Model.Slot.
	Fetch float64
	// CalleeSaved is the number of callee-saved registers the JIT must push.
	CalleeSaved int
	// StackBytes is the deepest stack offset used, 0 to 512.
	StackBytes int
	// Locked counts locked atomic instructions.
	Locked int
	// Called is the part of what the function calls: the slots of all subprograms
	// that are loaded with it, and the time that one run spends in them. Func leaves
	// it at zero; comparisons take it in, reports of a function's size do not.
	Called Called
}

// Called is the price of subprograms.
type Called struct {
	Slots       int
	Nanoseconds float64
}

// Total is the expected time of one run, in nanoseconds, with what it calls.
func (e Estimate) Total() float64 { return e.Nanoseconds + e.Called.Nanoseconds }

// slotShare is what a slot off the traffic's way is worth under Latency, as a part
// of what an average slot of the function takes: a tenth fewer slots for a
// thirtieth of the time. It is a choice, which counts where a slot takes longer
// than its fetching: in short functions, whose differences of that kind nobody
// can measure.
const slotShare = 1. / 3

// SlotWorth is what a slot off the traffic's way is worth under Latency, in nanoseconds
// of a run.
func (e Estimate) SlotWorth() float64 { return slotShare * e.Nanoseconds / float64(max(e.Slots, 1)) }

// Negligible is the difference in time, in nanoseconds, that is none.
const Negligible = 1e-3

// Less reports whether a is better than b under o. Latency counts the time that
// fetching the code takes, too: a program that runs now and then finds its caches
// full of other code, though one that runs again and again for a measurement
// does not; see also slotShare and Negligible. The JIT's bytes do not count: a step
// that costs a few often makes room for one that saves more.
func (o Objective) Less(a, b Estimate) bool {
	apart := a.Total() - b.Total()
	called := a.Called.Slots - b.Called.Slots
	if o == Latency {
		perSlot := a.Fetch / float64(max(a.Slots, 1))
		fetch, slots := a.Fetch-b.Fetch+perSlot*float64(called), float64(a.Slots-b.Slots+called)
		share := min(a.SlotWorth(), b.SlotWorth())
		apart += math.Copysign(max(math.Abs(fetch), share*math.Abs(slots)), slots)
	} else if a.Slots+called != b.Slots {
		return a.Slots+called < b.Slots
	}
	if apart < -Negligible || apart > Negligible {
		return apart < 0
	}
	return a.Slots+called < b.Slots
}

// Func prices f. weights gives the expected number of executions of each
// instruction in one run; nil counts each once.
func (m *Model) Func(f *prog.Func, weights []float64) Estimate {
	if m.Unweighted {
		weights = nil
	}
	e := Estimate{Slots: f.Slots()}
	e.Fetch = m.Slot * float64(e.Slots)
	ways := waysIn(f)
	var saved isa.RegSet
	entry := 1.0
	if weights != nil && len(weights) > 0 {
		entry = weights[0]
	}
	for k := range f.Insns {
		in := &f.Insns[k]
		if in.Op == isa.Nop {
			continue
		}
		w := 1.0
		if weights != nil {
			w = weights[k]
		}
		row := in.Row()
		if row.Kind == isa.KindExit || leaves(f, in.Target) && row.Kind == isa.KindJump {
			w = 0 // a run leaves once, by whichever exit
		}
		e.Nanoseconds += w * (m.One(in) + m.helper(f, k))
		if row.Kind == isa.KindCondJump && weights != nil {
			e.Nanoseconds += taken(f, weights, ways, k) * m.TakenBranch
		}
		if row.Kind == isa.KindAtomic && row.Store != nil && row.Fn != isa.FnStoreRel {
			e.Locked++
		}
		saved |= in.Def() & isa.CalleeSaved
		e.StackBytes = max(e.StackBytes, stackOffset(in))
	}
	if m.Forward > 0 && !m.Unweighted {
		for _, w := range Waits(f, weights) {
			e.Nanoseconds += w.Runs * m.Forward
		}
	}
	for r := isa.R6; r <= isa.R9; r++ {
		if saved.Has(r) {
			e.CalleeSaved++
		}
	}
	if m.Unweighted {
		return e
	}
	fixed := m.byOp[isa.Exit] + float64(e.CalleeSaved)*m.CalleeSaved
	if e.StackBytes > 0 {
		fixed += m.StackFrame
	}
	e.Nanoseconds += entry * fixed
	return e
}

// waysIn counts for each instruction how control may come to it.
func waysIn(f *prog.Func) []int {
	n := make([]int, len(f.Insns)+1)
	for k := range f.Insns {
		in := &f.Insns[k]
		if in.Target >= 0 {
			n[in.Target]++
		}
		if !in.EndsBlock() {
			n[k+1]++
		}
	}
	return n
}

// TakenBranches gives for each conditional branch how often it goes to its
// target in one run, under weights as Func takes them; zero for the rest.
func TakenBranches(f *prog.Func, weights []float64) []float64 {
	out := make([]float64, len(f.Insns))
	ways := waysIn(f)
	for k := range out {
		if f.Insns[k].Row().Kind == isa.KindCondJump {
			out[k] = taken(f, weights, ways, k)
		}
	}
	return out
}

// taken is how often the branch at k goes to its target, as far as the weights
// of instructions tell.
func taken(f *prog.Func, w []float64, ways []int, k int) float64 {
	t, next := f.Insns[k].Target, k+1
	if next >= len(w) || t == next {
		return 0
	}
	low, high := max(0, w[k]-w[next]), min(w[k], w[t])
	switch {
	case ways[t] == 1:
		return high
	case ways[next] == 1:
		return low
	}
	return (min(low, high) + high) / 2
}

// leaves: the code at k does little more than to leave by the first exit. The
// JIT makes that exit the epilogue and all others jumps to it, so that to jump
// to k costs what an exit in the place of the jump would.
func leaves(f *prog.Func, k int) bool {
	const little = 3
	for n := 0; k >= 0 && k < len(f.Insns) && n <= little; n++ {
		switch in := &f.Insns[k]; {
		case in.Row().Kind == isa.KindExit:
			for i := range k {
				if f.Insns[i].Row().Kind == isa.KindExit {
					return false
				}
			}
			return true
		case in.IsJump() || in.IsCall():
			return false
		}
		k++
	}
	return false
}

// stackOffset is how deep below the frame pointer a direct access reaches.
func stackOffset(in *prog.Insn) int {
	row := in.Row()
	switch row.Kind {
	case isa.KindStore, isa.KindAtomic:
		if in.Dst == isa.FP {
			return -int(in.Off)
		}
	case isa.KindLoad:
		if in.Src == isa.FP {
			return -int(in.Off)
		}
	}
	return 0
}
