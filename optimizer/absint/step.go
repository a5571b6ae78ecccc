package absint

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// immediate is the set of an instruction's immediates: one, unless a loader
// patches it.
func immediate(in *prog.Insn) Num {
	if !in.Frozen() {
		return Const(uint64(in.Imm), 64)
	}
	if in.Row().Kind == isa.KindLoadImm {
		return Full(64)
	}
	return (&operands{}).SExt(32, 64, Full(32))
}

// step executes instruction k on s. Jumps only fall through here.
func (a *analysis) step(s *State, k int) {
	in := &a.f.Insns[k]
	row := in.Row()
	switch row.Kind {
	case isa.KindALU:
		s.Regs[in.Dst] = a.alu(s, in, k)
	case isa.KindLoadImm:
		s.Regs[in.Dst] = loadImm(in)
	case isa.KindLoad:
		s.Regs[in.Dst] = a.load(s, in, s.Regs[in.Src])
	case isa.KindStore:
		a.put(s, in, k)
	case isa.KindAtomic:
		a.atomic(s, in)
	case isa.KindAddrCast:
		s.Regs[in.Dst] = unknown
	case isa.KindCallHelper:
		a.helper(s, in, k)
	case isa.KindCallFunc, isa.KindCallKfunc, isa.KindCallReg:
		r0 := unknown
		if a.result != nil && row.Kind == isa.KindCallFunc {
			if r0, s.Reachable = a.result(in); !s.Reachable {
				return
			}
		}
		s.opaque(r0)
	case isa.KindLoadPacket:
		s.clobber(scalar(zext(Full(row.Width), 64)))
	}
}

func loadImm(in *prog.Insn) Value {
	row := in.Row()
	switch {
	case in.Ref == nil:
		if row.Form == isa.FormConst {
			return scalar(immediate(in))
		}
	case in.Ref.Kind == prog.RefMap:
		return Value{Kind: MapPtr, Num: Const(0, 64), Map: in.Ref.Map}
	case in.Ref.Kind == prog.RefMapValue && !in.Ref.Loose:
		return Value{Kind: MapValue, Num: Const(uint64(in.Ref.Off), 64), Map: in.Ref.Map}
	case in.Ref.Kind == prog.RefCORE:
		return scalar(immediate(in))
	}
	return unknown
}

func (a *analysis) alu(s *State, in *prog.Insn, k int) Value {
	row := in.Row()
	d, o := s.Regs[in.Dst], scalar(immediate(in))
	if !row.Imm && row.ReadsSrc {
		o = s.Regs[in.Src]
	}
	if row.Fn == isa.FnMov && row.Width == 64 && !row.Imm {
		if o.Kind == Scalar && o.ID == 0 && in.Dst != in.Src {
			id := int32(k) + 1
			s.fresh(id)
			s.Regs[in.Src].ID = id
			o.ID = id
		}
		return o
	}
	if row.Width == 64 && (row.Fn == isa.FnAdd || row.Fn == isa.FnSub) {
		switch {
		case d.Kind.IsPointer() && o.Kind == Scalar:
			return s.move(d, o.Num, row.Fn, k)
		case d.Kind == Scalar && o.Kind.IsPointer() && row.Fn == isa.FnAdd:
			return s.move(o, d.Num, row.Fn, k)
		case d.Kind.IsPointer() && o.Kind.IsPointer() && row.Fn == isa.FnSub:
			return scalar(Full(64))
		}
	}
	if row.ReadsDst && d.Kind != Scalar || row.ReadsSrc && o.Kind != Scalar {
		if row.Width == 32 && !(row.ReadsDst && d.Kind == Unknown) && !(row.ReadsSrc && o.Kind == Unknown) {
			return scalar(zext(Full(32), 64)) // too narrow for an address
		}
		return unknown
	}
	v := scalar(isa.Eval[Num](row.Result, &operands{dst: d.Num, src: o.Num, imm: o.Num}))
	if k, ok := o.Num.IsConst(); ok && row.Width == 64 && row.ReadsDst && d.ID != 0 {
		switch row.Fn {
		case isa.FnAdd:
			v.ID, v.Fix = d.ID, d.Fix+int64(k)
		case isa.FnSub:
			v.ID, v.Fix = d.ID, d.Fix-int64(k)
		}
	}
	return v
}

// move adds a number to a pointer, or subtracts it.
func (s *State) move(p Value, n Num, fn isa.Fn, k int) Value {
	op := isa.ExprAdd
	if fn == isa.FnSub {
		op = isa.ExprSub
	}
	p.Num = binary(op, 64, p.Num, n)
	switch p.Kind {
	case Packet, PacketMeta:
		c, ok := n.IsConst()
		if fn == isa.FnSub {
			c = -c
		}
		if ok {
			p.Fix += int64(c)
			break
		}
		p.ID, p.Fix = int32(k)+1, 0
		s.fresh(p.ID)
	case MapValueOrNull:
		return unknown // the kernel refuses it; NULL plus a number is no longer NULL
	}
	return p
}

// load is what a load through base gives.
func (a *analysis) load(s *State, in *prog.Insn, base Value) Value {
	row := in.Row()
	size := int(row.Width) / 8
	off, known := base.Num.IsConst()
	at := int64(off) + int64(in.Off)
	known = known && !in.Frozen()
	v := scalar(Full(64))
	switch base.Kind {
	case Ctx:
		return loadCtx(a.f.Type, at, known, size, row.Signed)
	case Stack:
		if !known {
			v = unknown
			break
		}
		v = s.StackValue(int(at), size)
	case Unknown, Uninit:
		v = unknown
		if a.hidden && size == 4 && !row.Signed && mayBePointer(a.f.Type, int(in.Off)) {
			return v
		}
	}
	if v.Kind != Scalar {
		if size == 8 {
			return v
		}
		v = scalar(Full(64))
	}
	if size == 8 {
		return v
	}
	return scalar(isa.Eval[Num](row.Result, &operands{mem: extract(v.Num, 0, row.Width)}))
}

func (a *analysis) put(s *State, in *prog.Insn, k int) {
	row := in.Row()
	v := scalar(immediate(in))
	if !row.Imm {
		v = s.Regs[in.Src]
		_, known := s.Regs[in.Dst].Num.IsConst()
		if row.Width == 64 && v.Kind == Scalar && v.ID == 0 && s.Regs[in.Dst].Kind == Stack && known {
			v.ID = int32(k) + 1
			s.fresh(v.ID)
			s.Regs[in.Src].ID = v.ID
		}
	}
	s.write(s.Regs[in.Dst], in, int(row.Width)/8, v)
}

// write stores v through base.
func (s *State) write(base Value, in *prog.Insn, size int, v Value) {
	switch base.Kind {
	case Unknown, Uninit, Scalar:
		s.havocStack()
	case Stack:
		off, known := base.Num.IsConst()
		at := int64(off) + int64(in.Off) + isa.StackSize
		if in.Frozen() || !known {
			s.havocStack()
			return
		}
		if at >= 0 && at+int64(size) <= isa.StackSize {
			s.store(int(at), size, v)
		}
	}
}

// havocStack is a store somewhere in the frame of nobody knows what.
func (s *State) havocStack() {
	s.forget(0, isa.StackSize, false)
	for at := 0; at < isa.StackSize; at += 8 {
		s.cells[at] = cell{8, unknown}
	}
}

func (a *analysis) atomic(s *State, in *prog.Insn) {
	row := in.Row()
	if row.Fn == isa.FnLoadAcq {
		s.Regs[in.Dst] = a.load(s, in, s.Regs[in.Src])
		return
	}
	base := s.Regs[in.Dst]
	if row.Fn == isa.FnStoreRel {
		s.write(base, in, int(row.Width)/8, s.Regs[in.Src])
		return
	}
	old := scalar(Full(64))
	if row.Width == 32 {
		old = scalar(zext(Full(32), 64))
	} else if base.Kind == Stack || base.Kind == Unknown {
		old = unknown
		if at, ok := base.Num.IsConst(); ok && base.Kind == Stack && !in.Frozen() {
			if v := s.StackValue(int(int64(at))+int(in.Off), int(row.Width)/8); v.Kind == Scalar {
				old = scalar(Full(64))
			}
		}
	}
	stored := unknown
	if row.Width == 32 || old.Kind == Scalar && s.Regs[in.Src].Kind == Scalar {
		stored = scalar(Full(64))
	}
	s.write(base, in, int(row.Width)/8, stored)
	switch {
	case row.Fn == isa.FnCmpXchg:
		s.Regs[isa.R0] = old
	case row.Fetch:
		s.Regs[in.Src] = old
	}
}
