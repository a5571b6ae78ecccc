package absint

import "github.com/superbpf/superbpf/optimizer/prog"

// Field is a run of equal context fields of a program type.
type Field struct {
	Off, Size int // bytes; Size of one field
	Count     int // fields in a row, at least 1
	Kind      Kind
	// Write: the program may store to the field.
	Write bool
	// Narrow: loads of part of the field are allowed.
	Narrow bool
}

// Fields returns the context layout of a program type; nil when the context is
// a plain buffer or known by BTF only.
func Fields(t prog.Type) []Field { return layouts[t] }

// FieldAt finds the field that holds the byte at off.
func FieldAt(t prog.Type, off int) (Field, bool) {
	for _, f := range layouts[t] {
		if off >= f.Off && off < f.Off+f.Size*f.Count {
			f.Off += (off - f.Off) / f.Size * f.Size
			f.Count = 1
			return f, true
		}
	}
	return Field{}, false
}

// plainContext: the context of the type holds numbers only.
func plainContext(t prog.Type) bool {
	switch t {
	case prog.TypeTracepoint, prog.TypeRawTracepoint, prog.TypeRawTracepointWritable, prog.TypeKprobe, prog.TypePerfEvent, prog.TypeSyscall:
		return true
	}
	return false
}

// loadCtx is what a load of size bytes at off of the context gives.
func loadCtx(t prog.Type, off int64, known bool, size int, signed bool) Value {
	number := scalar(Full(64))
	if size < 8 && !signed {
		number = scalar(zext(Full(uint8(8*size)), 64))
	}
	if plainContext(t) {
		return number
	}
	if size < 4 || signed {
		return number // no pointer is that narrow
	}
	if known && off >= 0 {
		if f, ok := FieldAt(t, int(off)); ok {
			switch {
			case f.Kind == Scalar:
				return number
			case int(off) != f.Off || size != f.Size:
				return unknown
			case f.Kind == Packet:
				return Value{Kind: Packet, Num: Const(0, 64), ID: packetStart}
			case f.Kind == PacketMeta:
				return Value{Kind: PacketMeta, Num: Const(0, 64), ID: metaStart}
			case f.Kind == PacketEnd:
				return Value{Kind: PacketEnd, Num: Const(0, 64)}
			}
		}
	}
	return unknown
}

// mayBePointer: the kernel turns a load of 4 bytes at off of the context into
// one of a pointer. It refuses contexts that were moved before.
func mayBePointer(t prog.Type, off int) bool {
	if plainContext(t) {
		return false
	}
	if layouts[t] == nil {
		return true
	}
	f, ok := FieldAt(t, off)
	return ok && f.Kind != Scalar
}
