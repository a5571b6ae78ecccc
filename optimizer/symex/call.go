package symex

import (
	"fmt"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// maxKnownSize bounds the stack bytes that a helper is modelled to access one
// by one.
const maxKnownSize = isa.StackSize

// callHelper executes a call by its helper's row.
func (e *Engine) callHelper(s *State, in *prog.Insn) error {
	h := isa.HelperOf(int32(in.Imm))
	if !h.Known {
		return e.callUnknown(s, in)
	}
	c := e.C
	var args, reads []smt.Term
	wholeStack := false
	type write struct {
		at, n int
		addr  smt.Term
	}
	var writes []write
	var m *prog.Map
	for i, kind := range h.Args {
		if kind == isa.ArgNone {
			continue
		}
		v := s.Regs[isa.R1+isa.Reg(i)]
		if v == 0 && kind == isa.ArgScalar {
			v = c.UF("nothing", 64) // a variable number of arguments: not read
		}
		if v == 0 {
			return fmt.Errorf("%w: r%d at the call of %s", ErrUninitialized, i+1, h.Name)
		}
		args = append(args, v)
		if kind == isa.ArgMap {
			m = nil
			if r := e.RegionOf(v); r.Kind == MapPtr {
				m = r.Map
			}
		}
		size, known := e.accessSize(s, h, kind, i, m)
		region := e.RegionOf(v)
		onStack := region.framed()
		switch kind {
		case isa.ArgScalar, isa.ArgSize, isa.ArgCtx, isa.ArgMap, isa.ArgFunc:
			// A stack address in a scalar argument is only a number, but a
			// flag or callback context may carry one: be careful with those.
			if kind == isa.ArgScalar && onStack {
				wholeStack = true
			}
			continue
		}
		at, exact := e.stackOffset(v)
		if !onStack {
			continue // other memory: the tokens below stand for it
		}
		if !known || !exact || !inFrame(at, size) || kind == isa.ArgPtr {
			wholeStack = true
			continue
		}
		args[len(args)-1] = c.UF("in-frame", 64) // the bytes count, not their place
		if kind == isa.ArgMapKey || kind == isa.ArgMapValue || kind == isa.ArgMemRead || kind == isa.ArgMemRW {
			for k := range size {
				reads = append(reads, e.StackByte(s, at+k))
			}
		}
		if kind == isa.ArgMemWrite || kind == isa.ArgMemRW || kind == isa.ArgMemWriteFixed {
			writes = append(writes, write{at: at, n: size})
		}
	}
	key := append([]smt.Term{}, args...)
	key = append(key, c.UF("bytes", 0, reads...))
	if wholeStack {
		key = append(key, e.stackToken(s))
	}
	memory := e.Memory(s)
	readsOther := e.readsOther(s, h)
	switch h.Purity {
	case isa.PureConst:
		if readsOther {
			key = append(key, memory)
		}
	case isa.PureState:
		if !e.immutableLookup(h, m, reads) {
			key = append(key, s.MapSet)
		}
		if readsOther {
			key = append(key, memory)
		}
	default: // PureFresh and effects: the order counts
		key = append(key, s.Effect, memory)
	}
	marks := h.MapValue && m.Marks()
	if e.Unused && h.Droppable() && !marks {
		e.clobber(s, 0) // as if it were not there
		return nil
	}
	tok := e.token(h.Name, s, key...)
	if h.Purity == isa.PureNone || h.Purity == isa.PureFresh {
		s.Effect = tok
	}
	if marks {
		e.mark(s, tok)
	}
	result := c.UF("result", 64, tok)
	if h.Bits > 0 {
		result = c.ZExt(c.UF("low-result", h.Bits, tok), 64)
	}
	if h.MapValue {
		e.SetRegion(result, Region{Kind: MapValue, Map: m})
		if m == nil || m.Inner != nil || m.Type == prog.MapArrayOfMaps || m.Type == prog.MapHashOfMaps {
			e.SetRegion(result, Region{})
		}
	}
	if h.Record {
		e.SetRegion(result, Region{Kind: Record})
	}
	if e.present(s, h, m, reads) {
		s.Path = append(s.Path, c.Ne(result, c.Const(0, 64)))
	}
	e.after(s, h, tok)
	for n, w := range writes {
		for k := range w.n {
			e.SetStackByte(s, w.at+k, c.UF(fmt.Sprintf("out%d", n), 8, tok, c.Const(uint64(k), 16)))
		}
	}
	if wholeStack {
		e.clobberStack(s, tok)
	}
	e.clobber(s, result)
	return nil
}

// marked is a lookup that its map takes note of, and what came before it.
type marked struct{ before, lookup smt.Term }

// mark makes a lookup an effect. The same lookup again, with no other effect in
// between, changes nothing.
func (e *Engine) mark(s *State, lookup smt.Term) {
	for at, ok := e.marks[s.Effect]; ok; at, ok = e.marks[at.before] {
		if at.lookup == lookup {
			return
		}
	}
	before := s.Effect
	s.Effect = e.C.UF("marked", 0, before, lookup)
	e.marks[s.Effect] = marked{before, lookup}
}

// accessSize is the number of bytes behind a pointer argument, where known.
func (e *Engine) accessSize(s *State, h *isa.Helper, kind isa.ArgKind, i int, m *prog.Map) (int, bool) {
	switch kind {
	case isa.ArgMapKey:
		if m != nil {
			e.relies(fmt.Sprintf("map %s keeps its key size of %d bytes", m.Name, m.KeySize))
			return int(m.KeySize), true
		}
	case isa.ArgMapValue:
		if m != nil {
			e.relies(fmt.Sprintf("map %s keeps its value size of %d bytes", m.Name, m.ValueSize))
			return int(m.ValueSize), true
		}
	case isa.ArgMemWriteFixed:
		return h.FixedSize, h.FixedSize > 0
	case isa.ArgMemRead, isa.ArgMemWrite, isa.ArgMemRW:
		if i+1 < len(h.Args) {
			if k, ok := e.C.IsConst(s.Regs[isa.R2+isa.Reg(i)]); ok && k <= maxKnownSize {
				return int(k), true
			}
		}
	}
	return 0, false
}

// readsOther and writesOther: the helper is given a pointer to memory other
// than the stack that it reads, or writes.
func (e *Engine) readsOther(s *State, h *isa.Helper) bool {
	return e.pointsOther(s, h, func(k isa.ArgKind) bool {
		return k == isa.ArgMapKey || k == isa.ArgMapValue || k == isa.ArgMemRead || k == isa.ArgMemRW || k == isa.ArgPtr || k == isa.ArgCtx
	})
}

func (e *Engine) writesOther(s *State, h *isa.Helper) bool {
	return e.pointsOther(s, h, func(k isa.ArgKind) bool {
		return k == isa.ArgMemWrite || k == isa.ArgMemRW || k == isa.ArgMemWriteFixed || k == isa.ArgPtr
	})
}

func (e *Engine) pointsOther(s *State, h *isa.Helper, is func(isa.ArgKind) bool) bool {
	for i, k := range h.Args {
		if is(k) && e.RegionOf(s.Regs[isa.R1+isa.Reg(i)]).Kind != Stack {
			return true
		}
	}
	return false
}

// immutableLookup: a lookup in an array gives the same element for the same
// key whatever happens in between.
func (e *Engine) immutableLookup(h *isa.Helper, m *prog.Map, key []smt.Term) bool {
	return h.MapValue && m != nil && (m.Type == prog.MapArray || m.Type == prog.MapPerCPUArray)
}

// helperLookup is the number of map_lookup_elem.
const helperLookup = 1

// maxConds bounds the conditions that are asked about a key: the latest say most.
const maxConds = 20

// present: the lookup finds an element for certain, because the key is below the
// array's size on this path. Only of a constant key does the kernel's verifier
// make sure of that again, by the size that the loader gave the array.
func (e *Engine) present(s *State, h *isa.Helper, m *prog.Map, key []smt.Term) bool {
	if h.ID != helperLookup || !e.immutableLookup(h, m, key) || m.KeySize != 4 || len(key) != 4 {
		return false
	}
	c := e.C
	index := c.Concat(key[3], c.Concat(key[2], c.Concat(key[1], key[0])))
	inside := c.Ult(index, c.Const(uint64(m.MaxEntries), 32))
	v, known := c.IsConst(inside)
	if known && v == 0 || !known && c.Quick(append(c.Relevant(index, s.Path, maxConds), c.Not(inside))...) != smt.Unsat {
		return false
	}
	if k, ok := c.IsConst(index); ok {
		e.relies(fmt.Sprintf("array %s has more than %d entries", m.Name, k))
	} else {
		e.relies(fmt.Sprintf("array %s has at least %d entries", m.Name, m.MaxEntries))
	}
	return true
}

// after makes the memory that a helper may have changed new.
func (e *Engine) after(s *State, h *isa.Helper, tok smt.Term) {
	other := e.writesOther(s, h)
	sum := !h.WritesCtx && !h.ChangesPacket
	context := sum || h.OnlyHash && e.skb() && s.Regs[isa.R1] == e.ctx
	keep := map[string]bool{"ctx": context, scratch: context, hash: sum, "pkt": !h.WritesPacket && !h.ChangesPacket && !other, "rec": !other}
	if h.WritesMaps || other {
		e.havoc(s, tok, keep)
		return
	}
	for class, kept := range keep {
		if !kept {
			s.setMem(class, Chain{Token: e.C.UF("mem:"+class, 0, e.C.UF("epoch-after", 0, tok))})
		}
	}
}

// callUnknown executes a call of which nothing is known but its registers: it
// may read and write all memory that it can reach.
func (e *Engine) callUnknown(s *State, in *prog.Insn) error {
	name := fmt.Sprintf("%s:%d", in.Row().Name, in.Imm)
	reads := isa.ArgRegs
	if in.Ref != nil {
		name = fmt.Sprintf("%s:%s:%d", in.Row().Name, in.Ref.Name, in.Ref.ID)
		if in.Ref.Kind == prog.RefKfunc {
			reads = in.Use()
		}
		if in.Ref.Kind == prog.RefFunc {
			name = in.Row().Name + ":" + in.Ref.Name
			if e.Callee != nil {
				if f := e.Callee(in.Ref.Name); f != nil {
					reads = e.argsOf(f)
				}
			}
		}
	}
	if in.Row().Kind == isa.KindCallHelper {
		reads = isa.HelperArgs(int32(in.Imm))
	}
	if in.Row().Kind == isa.KindCallReg {
		if s.Regs[in.Dst] == 0 {
			return ErrUninitialized
		}
		name += fmt.Sprint(s.Regs[in.Dst])
	}
	args := []smt.Term{s.Effect, e.Memory(s)}
	frame := false
	for r := isa.R1; r <= isa.R5; r++ {
		if !reads.Has(r) {
			continue
		}
		v := s.Regs[r]
		if v == 0 {
			v = e.C.UF("nothing", 64) // the callee cannot read it
		}
		frame = frame || e.RegionOf(v).framed()
		args = append(args, v)
	}
	if frame {
		args = append(args, e.stackToken(s))
	}
	tok := e.token(name, s, args...)
	s.Effect = tok
	e.havoc(s, tok, nil)
	result := e.C.UF("result", 64, tok)
	if frame {
		e.clobberStack(s, tok)
		e.SetRegion(result, Region{Kind: Any})
	}
	e.clobber(s, result)
	return nil
}

// argsOf is prog.Reads, remembered.
func (e *Engine) argsOf(f *prog.Func) isa.RegSet {
	if s, ok := e.callees[f]; ok {
		return s
	}
	s := prog.Reads(f)
	e.callees[f] = s
	return s
}
