package absint

import (
	"math"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// given is the value of argument register r of a subprogram.
func given(a prog.Arg, r isa.Reg) Value {
	v := Value{Num: Full(64)}
	switch a.Kind {
	case prog.ArgContext:
		v.Kind, v.Num = Ctx, Const(0, 64)
	case prog.ArgScalar:
		v.Kind, v.Num.UMin, v.Num.UMax = Scalar, a.Min, a.Max
		v.Num = v.Num.norm()
	case prog.ArgPacket:
		v.Kind, v.ID = Packet, argumentID-int32(r)
	case prog.ArgPacketEnd:
		v.Kind = PacketEnd
	case prog.ArgMapValue:
		v.Kind, v.Map = MapValue, a.Map
	default:
		return unknown
	}
	return v
}

// argumentID less a register is the ID of the packet pointer handed over in it.
const argumentID int32 = -8

// asArg is what a callee may know of a value that it is handed.
func asArg(v Value) prog.Arg {
	off, fixed := v.Num.IsConst()
	switch {
	case v.Kind == Scalar:
		return prog.Arg{Kind: prog.ArgScalar, Min: v.Num.UMin, Max: v.Num.UMax}
	case v.Kind == Ctx && fixed && off == 0:
		return prog.Arg{Kind: prog.ArgContext}
	case v.Kind == Packet:
		return prog.Arg{Kind: prog.ArgPacket}
	case v.Kind == PacketEnd:
		return prog.Arg{Kind: prog.ArgPacketEnd}
	case v.Kind == MapValue && v.Map != nil:
		return prog.Arg{Kind: prog.ArgMapValue, Map: v.Map}
	}
	return prog.Arg{}
}

// Calls is the functions of an object and who calls whom.
type Calls struct {
	Funcs []*prog.Func
	// Callee gives the number of the function that a call goes to, -1 if none
	// of Funcs.
	Callee func(r *prog.Ref) int
	// Closed says that a function is only entered by direct calls in Funcs.
	Closed []bool
}

// helperTailCall is the number of tail_call: where it succeeds in a subprogram,
// the other program returns to the caller.
const helperTailCall = 12

// settled is the number of times that what a function is given may change
// before ranges are given up.
const settled = 3

// Summarize sets Args and Result of the functions that are closed, from all
// their calls. Those of others stay as they are. No fact about the size of a map
// is used.
func (c *Calls) Summarize() {
	n := len(c.Funcs)
	called := make([]bool, n)
	changes := make([]int, n)
	results := make([]prog.Arg, n) // of those that have been seen to return
	returns := make([]bool, n)
	callers := make([]map[int]bool, n)
	var work []int
	queued := make([]bool, n)
	enqueue := func(i int) {
		if !queued[i] {
			queued[i] = true
			work = append(work, i)
		}
	}
	for i, f := range c.Funcs {
		callers[i] = map[int]bool{}
		if c.Closed[i] {
			f.Args, f.Result = [5]prog.Arg{}, prog.Arg{}
		} else {
			called[i], results[i], returns[i] = true, f.Result, true
			enqueue(i)
		}
	}
	for len(work) > 0 {
		i := work[0]
		work = work[1:]
		queued[i] = false
		f := c.Funcs[i]
		if len(f.Insns) == 0 {
			continue
		}
		a := newAnalysis(f, Options{NoMapFacts: true})
		a.hidden = true // results are not known yet
		a.result = func(in *prog.Insn) (Value, bool) {
			j := c.target(in)
			if j < 0 {
				return unknown, true
			}
			callers[j][i] = true
			return given(results[j], 0), returns[j]
		}
		a.run()
		exits := prog.Arg{}
		seen := false
		a.visit(func(in *prog.Insn, s *State) {
			if r, ok := returned(in, s); ok {
				if seen {
					r = exits.Join(r)
				}
				exits, seen = r, true
			}
			if j := c.target(in); j >= 0 && c.Closed[j] && c.hand(j, s, !called[j], changes) {
				called[j] = true
				enqueue(j)
			}
		})
		if c.Closed[i] && seen && (!returns[i] || results[i].Join(exits) != results[i]) {
			if returns[i] {
				exits = results[i].Join(exits)
				if changes[i]++; changes[i] > settled {
					exits = widest(exits)
				}
			}
			results[i], returns[i] = exits, true
			for j := range callers[i] {
				enqueue(j)
			}
		}
	}
	for i, f := range c.Funcs {
		if c.Closed[i] {
			f.Result = results[i]
		}
	}
}

// returned is what the caller may get from instruction in, before which s holds; ok
// is false for one that never returns to it.
func returned(in *prog.Insn, s *State) (r prog.Arg, ok bool) {
	switch row := in.Row(); {
	case row.Kind == isa.KindExit:
		return asArg(s.Regs[isa.R0]), true
	case row.Kind == isa.KindCallHelper && in.Imm == helperTailCall:
		return prog.ScalarArg, true // what the other program returns
	case row.Kind == isa.KindLoadPacket:
		// Past the packet's end it returns 0 (bpf_gen_ld_abs in net/core/filter.c).
		return prog.Arg{Kind: prog.ArgScalar}, true
	}
	return prog.Arg{}, false
}

// target is the number of the function that an instruction calls, or -1.
func (c *Calls) target(in *prog.Insn) int {
	if in.Row().Kind != isa.KindCallFunc || in.Ref == nil {
		return -1
	}
	return c.Callee(in.Ref)
}

// hand adds a call in state s to what function j is given, and says whether that
// changed.
func (c *Calls) hand(j int, s *State, first bool, changes []int) bool {
	f := c.Funcs[j]
	old := f.Args
	for i := range f.Args {
		a := asArg(s.Regs[isa.R1+isa.Reg(i)])
		if !first {
			a = f.Args[i].Join(a)
		}
		f.Args[i] = a
	}
	if first || f.Args == old {
		return first
	}
	if changes[j]++; changes[j] > settled {
		for i, a := range f.Args {
			if a != old[i] {
				f.Args[i] = widest(a)
			}
		}
	}
	return true
}

// widest is a with any number where it has a range.
func widest(a prog.Arg) prog.Arg {
	if a.Kind == prog.ArgScalar {
		a.Min, a.Max = 0, math.MaxUint64
	}
	return a
}
