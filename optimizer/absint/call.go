package absint

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// clobber makes the caller-saved registers unreadable and sets R0.
func (s *State) clobber(r0 Value) {
	for r := isa.R0; r <= isa.R5; r++ {
		s.Regs[r] = uninit
	}
	s.Regs[isa.R0] = r0
}

// packetMoved makes all packet pointers unusable.
func (s *State) packetMoved() {
	clear(s.proved)
	s.each(func(v *Value) {
		if v.Kind == Packet || v.Kind == PacketMeta || v.Kind == PacketEnd {
			*v = scalar(Full(64))
		}
	})
}

// opaque is a call of which nothing is known.
func (s *State) opaque(r0 Value) {
	for r := isa.R1; r <= isa.R5; r++ {
		if k := s.Regs[r].Kind; k == Stack || k == Unknown {
			s.havocStack()
			break
		}
	}
	s.packetMoved()
	s.clobber(r0)
}

// helper executes a call by its helper's row.
func (a *analysis) helper(s *State, in *prog.Insn, k int) {
	h := isa.HelperOf(int32(in.Imm))
	if !h.Known {
		s.opaque(unknown)
		return
	}
	r0 := scalar(Full(64))
	m := mapArg(s, h)
	if h.RetPtr {
		r0 = unknown
		if h.MapValue && m != nil && m.Inner == nil && m.Type != prog.MapArrayOfMaps && m.Type != prog.MapHashOfMaps {
			id := int32(k) + 1
			s.fresh(id)
			r0 = Value{Kind: MapValueOrNull, Num: Const(0, 64), Map: m, ID: id}
			if !a.opt.NoMapFacts && a.inRange(s, h, m) {
				r0.Kind, r0.ID = MapValue, 0
				a.used[k] = m
			}
		}
	}
	for i, kind := range h.Args {
		a.argument(s, h, i, kind, m)
	}
	if h.ChangesPacket {
		s.packetMoved()
	}
	s.clobber(r0)
}

// argument applies what a helper does to the frame through one argument.
func (a *analysis) argument(s *State, h *isa.Helper, i int, kind isa.ArgKind, m *prog.Map) {
	v := s.Regs[isa.R1+isa.Reg(i)]
	if v.Kind != Stack && v.Kind != Unknown {
		return
	}
	size := -1
	switch kind {
	case isa.ArgNone, isa.ArgCtx, isa.ArgMap, isa.ArgMapKey, isa.ArgMapValue, isa.ArgMemRead, isa.ArgSize, isa.ArgFunc:
		if h.MapValue || kind != isa.ArgMapValue {
			return
		}
		// Pop and peek write through a map value argument; the rows do not
		// tell them from push.
		if m != nil && m.Type != prog.MapQueue && m.Type != prog.MapStack {
			return
		}
	case isa.ArgMemWriteFixed:
		size = h.FixedSize
	case isa.ArgMemWrite, isa.ArgMemRW:
		if i+1 < len(h.Args) {
			if n := s.Regs[isa.R2+isa.Reg(i)]; n.Kind == Scalar && n.Num.UMax <= isa.StackSize {
				size = int(n.Num.UMax)
			}
		}
	}
	off, known := v.Num.IsConst()
	at := int64(off) + isa.StackSize
	if v.Kind == Unknown || !known || size < 0 || at < 0 || at+int64(size) > isa.StackSize {
		s.havocStack()
		return
	}
	exact := kind == isa.ArgMemWriteFixed
	if !exact {
		_, exact = s.Regs[isa.R2+isa.Reg(i)].Num.IsConst()
	}
	s.forget(int(at), size, exact)
}

func mapArg(s *State, h *isa.Helper) *prog.Map {
	for i, kind := range h.Args {
		if v := s.Regs[isa.R1+isa.Reg(i)]; kind == isa.ArgMap && v.Kind == MapPtr {
			return v.Map
		}
	}
	return nil
}

// inRange: a lookup in an array with a key known to be below its size.
func (a *analysis) inRange(s *State, h *isa.Helper, m *prog.Map) bool {
	if m.Type != prog.MapArray && m.Type != prog.MapPerCPUArray || m.KeySize != 4 {
		return false
	}
	if h.Args[0] != isa.ArgMap || h.Args[1] != isa.ArgMapKey || h.Args[2] != isa.ArgNone {
		return false
	}
	key := s.Regs[isa.R2]
	off, ok := key.Num.IsConst()
	if key.Kind != Stack || !ok {
		return false
	}
	v := s.StackValue(int(int64(off)), 4)
	return v.Kind == Scalar && v.Num.UMax < uint64(m.MaxEntries)
}
