package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// inline puts the bodies of static functions in the place of calls of them. The
// body keeps the argument registers, gets others that are free for those that it
// would have saved, and a part of the frame below all that the caller uses. Later
// passes, which know what is handed over, make of it what they can; whether it is
// worth its slots the price says.
func inline(r *run) {
	for k := len(r.f.Insns) - 1; k >= 0; k-- {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindCallFunc || in.Ref == nil || in.Ref.Kind != prog.RefFunc || r.vals.Before[k] == nil {
			continue
		}
		g := r.Validator.Callee(in.Ref.Name)
		if g == nil || g.Name == r.f.Name || prog.Enterable(g) != nil || prog.CallsOf(g)[r.f.Name] > 0 || len(r.f.Insns)+len(g.Insns) > maxInlining+2*r.own() {
			continue
		}
		if r.Callers != nil && r.Callers(g.Name) > 1 && g.Slots() > mostShared {
			continue
		}
		b := inlining{r: r, k: k, g: g}
		b.registers()
		b.frame()
		if !b.fits() || !r.ok(k, "the body of %s instead of a call", g.Name) {
			continue
		}
		if err := r.g.Splice(k, k+1, b.code()); err != nil {
			panic(err) // nothing jumps into a single instruction
		}
	}
}

// mostShared bounds the slots of bodies that other functions call, too. A program that
// is loaded with its own copy is the smaller for it, but the object grows.
const mostShared = 24

// maxInlining is how far bodies may make a function grow, in instructions, beyond
// twice its own size.
const maxInlining = 400

// own counts the instructions of the function that did not come from another.
func (r *run) own() int {
	n := 0
	for k := range r.f.Insns {
		if r.f.Insns[k].Origin < prog.FirstInlined {
			n++
		}
	}
	return n
}

// inlining is one body that takes the place of the call at k.
type inlining struct {
	r *run
	k int
	g *prog.Func

	regs  [isa.NumRegs]isa.Reg // of the body, by those of g
	saved []isa.Reg            // the caller's registers that are kept in the frame meanwhile
	depth int                  // where the body's frame ends below the caller's frame pointer, a multiple of 8
}

// registers finds places for g's own registers. Those that calls clobber are free
// where g makes no calls and does not use them itself, then those that the caller
// does not need after the call; at last the caller's are saved.
func (b *inlining) registers() {
	var used, own isa.RegSet
	calls := false
	for k := range b.g.Insns {
		in := &b.g.Insns[k]
		used |= in.Use() | in.Def()
		calls = calls || in.IsCall()
	}
	for i := range b.regs {
		b.regs[i] = isa.Reg(i)
	}
	var free []isa.Reg
	for x := isa.R1; x <= isa.R5 && !calls; x++ {
		if !used.Has(x) {
			free = append(free, x)
		}
	}
	for k := range b.r.f.Insns {
		own |= b.r.f.Insns[k].Def()
	}
	live := b.r.live.After[b.k]
	for _, mine := range []bool{true, false} { // one that is pushed anyway first
		for x := isa.R6; x <= isa.R9; x++ {
			if !live.Has(x) && own.Has(x) == mine {
				free = append(free, x)
			}
		}
	}
	for x := isa.R6; x <= isa.R9; x++ {
		if !used.Has(x) {
			continue
		}
		if len(free) > 0 {
			b.regs[x], free = free[0], free[1:]
			continue
		}
		for y := isa.R6; y <= isa.R9; y++ {
			if live.Has(y) && !slices.Contains(b.saved, y) {
				b.saved = append(b.saved, y)
				b.regs[x] = y
				break
			}
		}
	}
}

// frame finds where the caller's frame ends, as far as its code shows.
func (b *inlining) frame() {
	low := isa.StackSize
	for k := range b.r.f.Insns {
		in := &b.r.f.Insns[k]
		st := b.r.vals.Before[k]
		if st == nil {
			continue
		}
		off := 0
		if kind := in.Row().Kind; kind == isa.KindLoad || kind == isa.KindStore || kind == isa.KindAtomic {
			off = min(0, int(in.Off))
		}
		for x := isa.R0; x <= isa.FP; x++ {
			if st.Regs[x] == 0 || !b.r.live.Before[k].Has(x) && x != isa.FP {
				continue
			}
			if at, exact, on := b.r.stackAt(k, x, 0); on && exact {
				low = min(low, at)
				if x == in.Dst || x == in.Src {
					low = min(low, at+off)
				}
			}
		}
	}
	b.depth = (isa.StackSize - low + 7) &^ 7
}

// fits: the frame has room, and g does nothing with its frame pointer but to
// access its frame and to make addresses of it.
func (b *inlining) fits() bool {
	deep := 0
	for k := range b.g.Insns {
		in := &b.g.Insns[k]
		row := in.Row()
		if row.Kind == isa.KindALU && row.Imm && row.Fn == isa.FnAdd && in.Imm < 0 && in.Imm >= -isa.StackSize {
			deep = max(deep, int(-in.Imm))
		}
		if row.Kind == isa.KindLoad || row.Kind == isa.KindStore || row.Kind == isa.KindAtomic {
			deep = max(deep, -int(in.Off))
		}
		if (in.Use() | in.Def()).Has(isa.FP) && !usesFrame(in) {
			return false
		}
	}
	usesFP := slices.ContainsFunc(b.g.Insns, func(in prog.Insn) bool { return in.Use().Has(isa.FP) })
	if !usesFP {
		deep = 0
	}
	return b.depth+8*len(b.saved)+deep <= isa.StackSize
}

// usesFrame: the frame pointer is an address, or copied as it is.
func usesFrame(in *prog.Insn) bool {
	row := in.Row()
	switch row.Kind {
	case isa.KindLoad:
		return in.Src == isa.FP && !in.Patched()
	case isa.KindStore:
		return in.Dst == isa.FP && (row.Imm || in.Src != isa.FP) && !in.Patched()
	case isa.KindAtomic:
		return row.Fn != isa.FnLoadAcq && in.Dst == isa.FP && in.Src != isa.FP
	case isa.KindALU:
		return in.Op == isa.ALU(isa.FnMov, 64, false) && in.Src == isa.FP && in.Dst != isa.FP
	}
	return false
}

// code is the body as it stands in the place of the call.
func (b *inlining) code() []prog.Insn {
	runs := cost.Guess(b.g)
	if b.r.Weights != nil {
		runs = b.r.Weights(b.g)
	}
	call := b.r.f.Insns[b.k].Origin
	first := b.r.g.AddInlined(call, b.g, runs)
	var out []prog.Insn
	add := func(origin int, i isa.Insn) *prog.Insn {
		in := prog.New(i)
		in.Origin = origin
		out = append(out, in)
		return &out[len(out)-1]
	}
	slot := func(i int) int16 { return int16(-b.depth - 8*(i+1)) }
	for i, x := range b.saved {
		add(call, isa.Insn{Op: isa.Store(64, false), Dst: isa.FP, Src: x, Off: slot(i)})
	}
	lower := b.depth + 8*len(b.saved) // by which the body's frame is
	at := make([]int, len(b.g.Insns)+1)
	const leaves = -1 << 30 // a target: the end of the body
	folded := false
	for k := range b.g.Insns {
		at[k] = len(out)
		if folded {
			folded = false
			continue
		}
		in := b.g.Insns[k]
		if in.Row().Kind == isa.KindExit {
			if k < len(b.g.Insns)-1 {
				add(first+k, isa.Insn{Op: isa.Ja}).Target = leaves
			}
			continue
		}
		fp := in.Use().Has(isa.FP)
		in.Dst, in.Src = b.regs[in.Dst], b.regs[in.Src]
		in.Origin = first + k
		if fp && in.Row().Kind != isa.KindALU {
			in.Off -= int16(lower)
		}
		out = append(out, in)
		if fp && in.Row().Kind == isa.KindALU && lower > 0 {
			by := isa.Insn{Op: isa.ALU(isa.FnAdd, 64, true), Dst: in.Dst, Imm: int64(-lower)}
			next := &b.g.Insns[k+1]
			if folded = next.Op == by.Op && b.regs[next.Dst] == in.Dst && next.Ref == nil && !jumpedTo(b.g, k+1); folded {
				by.Imm += next.Imm
			}
			add(first+k, by)
		}
	}
	end := len(out)
	at[len(b.g.Insns)] = end
	for i, x := range b.saved {
		add(call, isa.Insn{Op: isa.Load(64, false), Dst: x, Src: isa.FP, Off: slot(i)})
	}
	for i := range out {
		switch t := out[i].Target; {
		case t == leaves && len(b.saved) > 0:
			out[i].Target = -2 - end
		case t == leaves:
			out[i].Target = b.k + 1
		case t >= 0 && b.g.Insns[t].Row().Kind == isa.KindExit && t == len(b.g.Insns)-1 && len(b.saved) == 0:
			out[i].Target = b.k + 1 // the last exit has no code
		case t >= 0:
			out[i].Target = -2 - at[t]
		}
	}
	return out
}

// jumpedTo: a jump goes to instruction k.
func jumpedTo(f *prog.Func, k int) bool {
	return slices.ContainsFunc(f.Insns, func(in prog.Insn) bool { return in.Target == k })
}
