package absint

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

var inverse = map[isa.Fn]isa.Fn{isa.FnJeq: isa.FnJne, isa.FnJne: isa.FnJeq, isa.FnJgt: isa.FnJle, isa.FnJle: isa.FnJgt,
	isa.FnJge: isa.FnJlt, isa.FnJlt: isa.FnJge, isa.FnJsgt: isa.FnJsle, isa.FnJsle: isa.FnJsgt, isa.FnJsge: isa.FnJslt,
	isa.FnJslt: isa.FnJsge}

// fnNotSet is the complement of FnJset.
const fnNotSet = isa.Fn(255)

// branch returns the state when the conditional jump goes the given way; not
// reachable when it cannot.
func (s *State) branch(in *prog.Insn, taken bool) *State {
	row := in.Row()
	s = s.clone()
	fn := row.Fn
	if !taken {
		if fn == isa.FnJset {
			fn = fnNotSet
		} else {
			fn = inverse[fn]
		}
	}
	d, o := s.Regs[in.Dst], scalar(immediate(in))
	if !row.Imm {
		o = s.Regs[in.Src]
		if in.Dst == in.Src && (fn == isa.FnJne || fn == isa.FnJgt || fn == isa.FnJlt || fn == isa.FnJsgt || fn == isa.FnJslt) {
			s.Reachable = false
			return s
		}
	}
	switch {
	case d.Kind == Scalar && o.Kind == Scalar:
		a, b := refine(fn, row.Width, d.Num, o.Num)
		if a.Empty() || b.Empty() {
			s.Reachable = false
			return s
		}
		s.narrow(in.Dst, a)
		if !row.Imm && in.Src != in.Dst {
			s.narrow(in.Src, b)
		}
	case row.Width != 64:
	case o.Kind == Scalar:
		if k, ok := o.Num.IsConst(); ok && k == 0 {
			s.null(in.Dst, fn)
		}
	case d.Kind == Scalar:
		if k, ok := d.Num.IsConst(); ok && k == 0 {
			s.null(in.Src, fn)
		}
	case o.Kind == PacketEnd:
		s.bound(d, fn)
	case d.Kind == PacketEnd:
		s.bound(o, mirror[fn])
	case d.Kind == PacketMeta && o.Kind == Packet && o.ID == packetStart && o.Fix == 0:
		s.bound(d, fn)
	case o.Kind == PacketMeta && d.Kind == Packet && d.ID == packetStart && d.Fix == 0:
		s.bound(o, mirror[fn])
	}
	return s
}

// mirror gives the comparison with its operands exchanged.
var mirror = map[isa.Fn]isa.Fn{isa.FnJgt: isa.FnJlt, isa.FnJlt: isa.FnJgt, isa.FnJge: isa.FnJle, isa.FnJle: isa.FnJge,
	isa.FnJsgt: isa.FnJslt, isa.FnJslt: isa.FnJsgt, isa.FnJsge: isa.FnJsle, isa.FnJsle: isa.FnJsge, isa.FnJeq: isa.FnJeq}

// narrow leaves a register only the numbers in n, and likewise all that are a
// known distance from it.
func (s *State) narrow(r isa.Reg, n Num) {
	at := s.Regs[r]
	n = at.Num.Meet(n)
	s.Regs[r].Num = n
	s.Reachable = s.Reachable && !n.Empty()
	if at.ID == 0 || !s.Reachable {
		return
	}
	s.each(func(v *Value) {
		if v.Kind != Scalar || v.ID != at.ID {
			return
		}
		m := n
		if d := v.Fix - at.Fix; d != 0 {
			m = binary(isa.ExprAdd, 64, n, Const(uint64(d), 64))
		}
		v.Num = v.Num.Meet(m)
		s.Reachable = s.Reachable && !v.Num.Empty()
	})
}

// null applies a comparison of a register with NULL.
func (s *State) null(r isa.Reg, fn isa.Fn) {
	v := s.Regs[r]
	k, fixed := v.Num.IsConst()
	if fn != isa.FnJeq && fn != isa.FnJne || !fixed || k != 0 {
		return
	}
	decide := func(w *Value) {
		if fn == isa.FnJeq {
			*w = scalar(Const(0, 64))
		} else {
			w.Kind, w.ID = MapValue, 0
		}
	}
	switch v.Kind {
	case MapValue, Stack, Ctx, MapPtr:
		s.Reachable = fn == isa.FnJne
	case MapValueOrNull:
		decide(&s.Regs[r])
		if v.ID == 0 {
			return // nothing ties other values to this one
		}
		s.each(func(w *Value) {
			if w.Kind == MapValueOrNull && w.ID == v.ID {
				decide(w)
			}
		})
	}
}

// bound applies "v fn end of packet".
func (s *State) bound(v Value, fn isa.Fn) {
	if v.Kind != Packet && v.Kind != PacketMeta || v.ID == noPacket {
		return
	}
	n := v.Fix
	switch fn {
	case isa.FnJle, isa.FnJeq:
	case isa.FnJlt:
		n++
	default:
		return
	}
	if n > s.proved[v.ID] {
		s.proved[v.ID] = n
	}
}

// refine narrows two numbers to those for which "a fn b" holds at width w.
func refine(fn isa.Fn, w uint8, a, b Num) (Num, Num) {
	if w < a.W {
		x, y := refine(fn, w, a.low(), b.low())
		return a.withLow(x), b.withLow(y)
	}
	switch fn {
	case isa.FnJeq:
		m := a.Meet(b)
		return m, m
	case isa.FnJne:
		return apart(a, b), apart(b, a)
	case isa.FnJgt, isa.FnJsgt, isa.FnJge, isa.FnJsge:
		y, x := refine(mirror[fn], w, b, a)
		return x, y
	case isa.FnJlt:
		if b.UMax == 0 || a.UMin == mask(w) {
			return empty(w), empty(w)
		}
		a.UMax = min(a.UMax, b.UMax-1)
		b.UMin = max(b.UMin, a.UMin+1)
	case isa.FnJle:
		a.UMax = min(a.UMax, b.UMax)
		b.UMin = max(b.UMin, a.UMin)
	case isa.FnJslt:
		f := fullRange(w)
		if b.SMax == f.SMin || a.SMin == f.SMax {
			return empty(w), empty(w)
		}
		a.SMax = min(a.SMax, b.SMax-1)
		b.SMin = max(b.SMin, a.SMin+1)
	case isa.FnJsle:
		a.SMax = min(a.SMax, b.SMax)
		b.SMin = max(b.SMin, a.SMin)
	case isa.FnJset:
		return set(a, b), set(b, a)
	case fnNotSet:
		return notSet(a, b), notSet(b, a)
	}
	return a.norm(), b.norm()
}

// apart removes b from a if b is one number at an end of a.
func apart(a, b Num) Num {
	k, ok := b.IsConst()
	if !ok {
		return a
	}
	if c, ok := a.IsConst(); ok && c == k {
		return empty(a.W)
	}
	if a.UMin == k {
		a.UMin++
	}
	if a.UMax == k {
		a.UMax--
	}
	if v := sext(k, a.W); a.SMin == v {
		a.SMin++
	} else if a.SMax == v {
		a.SMax--
	}
	return a.norm()
}

// set keeps the numbers of a that have a bit in common with b.
func set(a, b Num) Num {
	common := (a.T.V | a.T.M) & (b.T.V | b.T.M)
	if common == 0 {
		return empty(a.W)
	}
	if common&(common-1) == 0 {
		a.T.V |= common
		a.T.M &^= common
	}
	return a.norm()
}

// notSet keeps the numbers of a that have no bit in common with b.
func notSet(a, b Num) Num {
	if a.T.V&b.T.V != 0 {
		return empty(a.W)
	}
	a.T.M &^= b.T.V
	return a.norm()
}
