package isa

// ArgKind is what a helper's argument is to the optimizer
// (enum bpf_arg_type in include/linux/bpf.h, coarsened).
type ArgKind uint8

// Argument kinds.
const (
	ArgNone          ArgKind = iota
	ArgScalar                // any value
	ArgCtx                   // the context
	ArgMap                   // a map
	ArgMapKey                // pointer to key_size bytes that are read
	ArgMapValue              // pointer to value_size bytes that are read
	ArgMemRead               // pointer to bytes that are read; the next argument is their number
	ArgMemWrite              // pointer to bytes that are written; the next argument is their number
	ArgMemRW                 // both; the next argument is their number
	ArgSize                  // the number of bytes of the argument before
	ArgPtr                   // some other pointer: anything reachable through it may be read and written
	ArgFunc                  // a callback
	ArgMemWriteFixed         // pointer to a fixed number of bytes (FixedSize) that are written
)

// Purity says what a helper's result depends on and whether the call itself is
// observable.
type Purity uint8

// The purities. The zero value is the safe one.
const (
	PureNone  Purity = iota // an effect: must stay, in order
	PureState               // no effect; the result is a function of arguments, memory read and map state
	PureFresh               // no effect; a new value at each call (time, random)
	PureConst               // no effect; a function of the arguments and the invocation (CPU number, pid)
)

// Helper is one helper function.
type Helper struct {
	ID   int32
	Name string
	Args [5]ArgKind
	// FixedSize is the number of bytes behind an ArgMemWriteFixed argument.
	FixedSize int
	Purity    Purity
	// RetPtr: the result is a pointer or NULL (a map value when MapValue).
	RetPtr, MapValue bool
	// Bits is how many of the result's low bits may be set, 0 for all 64: the kernel's
	// function returns an unsigned type, or an index that is never negative.
	Bits uint8
	// Record: what the result points to is the program's alone until a helper
	// takes it back, and overlaps no other memory.
	Record bool
	// ChangesPacket: packet pointers become invalid (bpf_helper_changes_pkt_data).
	ChangesPacket bool
	// WritesMaps, WritesPacket, WritesCtx: memory the helper changes beyond its
	// pointer arguments.
	WritesMaps, WritesPacket, WritesCtx bool
	// OnlyHash: of the context, the helper changes no more than a packet's hash, and
	// only of a struct __sk_buff.
	OnlyHash bool
	// Known is false for the opaque row that stands for an unknown helper.
	Known bool
}

// Droppable: nobody notices when a call whose result is not used is left out.
func (h *Helper) Droppable() bool {
	if !h.Known || h.Purity == PureNone || h.ChangesPacket || h.WritesMaps || h.WritesPacket || h.WritesCtx {
		return false
	}
	for _, k := range h.Args {
		if k == ArgMemWrite || k == ArgMemRW || k == ArgMemWriteFixed || k == ArgPtr {
			return false
		}
	}
	return true
}

var helpers = map[int32]*Helper{}

// HelperOf returns the row of a helper. An unknown number gets an opaque row:
// an effect that reads all argument registers and may change all memory that
// is reachable.
func HelperOf(id int32) *Helper {
	if h := helpers[id]; h != nil {
		return h
	}
	return &Helper{ID: id, Args: [5]ArgKind{ArgPtr, ArgPtr, ArgPtr, ArgPtr, ArgPtr},
		ChangesPacket: true, WritesMaps: true, WritesPacket: true, WritesCtx: true}
}

// HelperArgs returns the argument registers that a helper reads.
func HelperArgs(id int32) RegSet {
	h := HelperOf(id)
	var s RegSet
	for i, a := range h.Args {
		if a != ArgNone {
			s = s.With(R1 + Reg(i))
		}
	}
	return s
}

// HelperByName finds a helper by its name without the prefix bpf_.
func HelperByName(name string) (*Helper, bool) {
	for _, h := range helpers {
		if h.Name == name {
			return h, true
		}
	}
	return nil, false
}
