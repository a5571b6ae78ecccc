package safety

import (
	"fmt"

	"github.com/superbpf/superbpf/optimizer/absint"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Flags of maps (include/uapi/linux/bpf.h).
const (
	readOnlyProg  = 1 << 7
	writeOnlyProg = 1 << 8
)

// maxPacket is the greatest distance from a packet's start that comparisons
// prove anything about (MAX_PACKET_OFF).
const maxPacket = 0xffff

// accessible: check_mem_access.
func (o *Obligation) accessible(f *prog.Func, s *absint.State, v absint.Value) string {
	if o.Insn.Frozen() {
		return ""
	}
	if o.Atomic && (v.Kind == absint.Packet || v.Kind == absint.PacketMeta || v.Kind == absint.Ctx) {
		return "an atomic access to the " + v.Kind.String()
	}
	return region(f, s, v, o.Off, o.Size, o.Write, o.Atomic, o.Signed)
}

// region decides an access of size bytes at v+off.
func region(f *prog.Func, s *absint.State, v absint.Value, off int64, size int, write, atomic, signed bool) string {
	aligned := func() bool {
		low := (v.Num.T.V | v.Num.T.M) + uint64(off) // unknown bits count as set
		return v.Num.T.M&uint64(size-1) == 0 && low&uint64(size-1) == 0
	}
	outside := func(n int64) bool {
		return v.Num.SMin < -maxOffset || v.Num.SMax > maxOffset || v.Num.SMin+off < 0 || v.Num.SMax+off+int64(size) > n
	}
	switch v.Kind {
	case absint.Scalar, absint.Uninit, absint.PacketEnd, absint.MapValueOrNull:
		return "access through a " + v.Kind.String()
	case absint.MapPtr:
		if write {
			return "store to a map_ptr"
		}
	case absint.Stack:
		if v.Num.SMin < -maxOffset || v.Num.SMax > maxOffset || v.Num.SMin+off < -isa.StackSize || v.Num.SMax+off+int64(size) > 0 {
			return "access outside the frame"
		}
		if !aligned() {
			return "misaligned access to the frame"
		}
		at, ok := v.Num.IsConst()
		if ok && !write && size < 8 {
			slot := (int64(at) + off) &^ 7
			if s.StackValue(int(slot), 8).Kind.IsPointer() {
				return "part of a pointer in the frame is loaded"
			}
		}
	case absint.MapValue:
		if v.Map == nil {
			return ""
		}
		if outside(int64(v.Map.ValueSize)) {
			return "access outside the map's value"
		}
		if atomic && !aligned() {
			return "misaligned atomic access"
		}
		if write && (v.Map.ReadOnly || v.Map.Flags&readOnlyProg != 0) || !write && v.Map.Flags&writeOnlyProg != 0 {
			return "access that the map's flags forbid"
		}
	case absint.Packet, absint.PacketMeta:
		return packet(f, s, v, off, size, write)
	case absint.Ctx:
		return context(f, v, off, size, write, signed)
	}
	return ""
}

func packet(f *prog.Func, s *absint.State, v absint.Value, off int64, size int, write bool) string {
	switch f.Type {
	case prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeXDP, prog.TypeLWTXmit, prog.TypeSKSKB, prog.TypeSKMsg, prog.TypeCgroupSockopt:
	case prog.TypeLWTIn, prog.TypeLWTOut, prog.TypeLWTSeg6Local, prog.TypeSKReuseport, prog.TypeFlowDissector, prog.TypeCgroupSKB:
		if write {
			return "store to the packet"
		}
	default:
		return "" // not a type whose packets we know
	}
	if !v.Tracked() {
		return ""
	}
	if v.Num.SMin < 0 || v.Num.UMax > maxPacket {
		return "a packet pointer that is not bounded"
	}
	if v.AtStart() && v.Fix+off < 0 {
		return "access before the packet"
	}
	if s.PacketBytes(v) < off+int64(size) {
		return "access past what comparisons prove of the packet"
	}
	return ""
}

// context: the is_valid_access function of the type.
func context(f *prog.Func, v absint.Value, off int64, size int, write, signed bool) string {
	at, known := v.Num.IsConst()
	off += int64(at)
	if len(absint.Fields(f.Type)) == 0 {
		return ""
	}
	if !known {
		return "access at an unknown place of the context"
	}
	field, ok := absint.FieldAt(f.Type, int(off))
	bad := func() string {
		return fmt.Sprintf("access of %d bytes at %d of the context", size, off)
	}
	if !ok || off < 0 || off%int64(size) != 0 {
		return bad()
	}
	switch f.Type {
	case prog.TypeXDP:
		if size != 4 || write || signed && field.Kind != absint.Scalar {
			return bad()
		}
	case prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeCgroupSKB, prog.TypeSocketFilter:
		if write && !field.Write {
			return bad()
		}
		if field.Kind != absint.Scalar && size != field.Size {
			return bad()
		}
	}
	return ""
}

// argument: check_func_arg, as far as the helper's row tells.
func (o *Obligation) argument(f *prog.Func, s *absint.State, v absint.Value) string {
	if v.Kind == absint.Uninit {
		return fmt.Sprintf("r%d holds nothing", o.Reg)
	}
	if v.Kind == absint.Unknown || !o.Helper.Known {
		return ""
	}
	kind := o.Helper.Args[o.Arg]
	number := v.Kind == absint.Scalar
	zero := false
	if k, ok := v.Num.IsConst(); number && ok && k == 0 {
		zero = true
	}
	switch kind {
	case isa.ArgMap:
		if v.Kind != absint.MapPtr {
			return "a map is asked for"
		}
	case isa.ArgCtx:
		if at, ok := v.Num.IsConst(); v.Kind != absint.Ctx || !ok || at != 0 {
			if absint.Fields(f.Type) != nil {
				return "the context is asked for"
			}
		}
	case isa.ArgSize:
		switch {
		case !number:
			return "a size is asked for"
		case v.Num.SMin < 0 || v.Num.UMax >= maxOffset:
			return "the size is not bounded"
		}
	case isa.ArgMapKey, isa.ArgMapValue, isa.ArgMemRead, isa.ArgMemWrite, isa.ArgMemRW, isa.ArgMemWriteFixed:
		if zero && (kind == isa.ArgMemRead || kind == isa.ArgMemRW || kind == isa.ArgMemWrite) {
			return ""
		}
		switch v.Kind {
		case absint.Ctx, absint.MapPtr:
			return "memory is asked for"
		}
		size := argSize(s, o, kind)
		if size < 0 {
			if number || v.Kind == absint.MapValueOrNull || v.Kind == absint.PacketEnd {
				return "memory is asked for"
			}
			return ""
		}
		if v.Kind == absint.Stack {
			if v.Num.SMin < -isa.StackSize || v.Num.SMax > 0 || v.Num.SMax+int64(size) > 0 {
				return "memory outside the frame is asked for"
			}
			return ""
		}
		write := kind == isa.ArgMemWrite || kind == isa.ArgMemRW || kind == isa.ArgMemWriteFixed
		return region(f, s, v, 0, size, write, false, false)
	}
	return ""
}

// argSize is how many bytes a helper may access behind an argument, -1 when not
// known.
func argSize(s *absint.State, o *Obligation, kind isa.ArgKind) int {
	switch kind {
	case isa.ArgMapKey, isa.ArgMapValue:
		for i, a := range o.Helper.Args {
			if m := s.Reg(isa.R1 + isa.Reg(i)); a == isa.ArgMap && m.Kind == absint.MapPtr && m.Map != nil {
				if kind == isa.ArgMapKey {
					return int(m.Map.KeySize)
				}
				return int(m.Map.ValueSize)
			}
		}
	case isa.ArgMemWriteFixed:
		return o.Helper.FixedSize
	default:
		if n := s.Reg(o.Reg + 1); n.Kind == absint.Scalar && n.Num.UMax < maxOffset && n.Num.SMin >= 0 {
			return int(n.Num.UMax)
		}
	}
	return -1
}
