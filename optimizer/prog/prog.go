package prog

import (
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// Insn is an instruction in a function.
type Insn struct {
	isa.Insn
	// Target is the index in Func.Insns that a jump goes to; -1 for anything
	// that is not a jump.
	Target int
	// Ref is what the instruction names symbolically (a relocation in the
	// object), nil for none. Insns share a Ref by pointer; it is immutable.
	Ref *Ref
	// Origin is the index of the instruction of the input function that this
	// one stands for (source lines, CO-RE records), or -1; from FirstInlined on, that
	// of one in a body of Func.Inlined.
	Origin int
}

// RefKind says what a Ref names.
type RefKind uint8

// The kinds of symbolic operands.
const (
	RefMap      RefKind = iota + 1 // lddw of a map's file descriptor
	RefMapValue                    // lddw of an address inside a map's first value (global data)
	RefFunc                        // a subprogram: bpf-to-bpf call or callback address
	RefKfunc                       // a kernel function
	RefKsym                        // a kernel variable, or an unresolved extern
	RefKconfig                     // an address in the kconfig map
	RefCORE                        // a field or type fact, patched at load: Off or Imm is not known here
	RefOpaque                      // a relocation that we do not interpret
)

// Ref is a symbolic operand.
type Ref struct {
	Kind RefKind
	// Name is the symbol: map, function, kernel symbol, or the CO-RE access.
	Name string
	Map  *Map
	// Off is the offset in bytes for RefMapValue.
	Off int64
	// Loose: of a RefMapValue, loaders disagree about the offset. It tells the
	// address from others, but not how far from them it is.
	Loose bool
	// Signed: of the RefCORE of a load. The field is a signed integer of the load's
	// width; the load may extend the sign or not.
	Signed bool
	// ID tells relocation records apart in the object's own tables.
	ID int
	// Reads are the argument registers that the function read as it was in the
	// input, or a kernel function has by its type; nil if not known: what else
	// callers leave in them is of no use.
	Reads *isa.RegSet
}

// Use returns the registers that the instruction reads; of a call to a known
// function, those that this reads.
func (i *Insn) Use() isa.RegSet {
	if r := i.Ref; r != nil && r.Reads != nil && i.IsCall() {
		return *r.Reads
	}
	return i.Insn.Use()
}

// Patched reports whether the loader fills in fields of the instruction, so
// that their values here mean nothing.
func (i *Insn) Patched() bool {
	if i.Ref == nil {
		return false
	}
	switch i.Ref.Kind {
	case RefCORE:
		return true
	case RefOpaque, RefKsym, RefKfunc:
		k := i.Row().Kind // wide immediates and calls are known by their reference
		return k != isa.KindLoadImm && !i.IsCall()
	}
	return false
}

// Frozen reports whether the instruction's fields must stay as they are
// because the loader patches them: it may be moved or deleted, not altered.
func (i *Insn) Frozen() bool {
	return i.Ref != nil && (i.Ref.Kind == RefCORE || i.Ref.Kind == RefOpaque || i.Ref.Kind == RefKfunc || i.Ref.Kind == RefKsym)
}

// MapType is enum bpf_map_type of include/uapi/linux/bpf.h.
type MapType uint32

// Map types that the optimizer gives a meaning to.
const (
	MapHash          MapType = 1
	MapArray         MapType = 2
	MapProgArray     MapType = 3
	MapPerfEvent     MapType = 4
	MapPerCPUHash    MapType = 5
	MapPerCPUArray   MapType = 6
	MapLRUHash       MapType = 9
	MapLRUPerCPUHash MapType = 10
	MapLPMTrie       MapType = 11
	MapArrayOfMaps   MapType = 12
	MapHashOfMaps    MapType = 13
	MapDevMap        MapType = 14
	MapCPUMap        MapType = 16
	MapXSKMap        MapType = 17
	MapQueue         MapType = 22
	MapStack         MapType = 23
	MapDevMapHash    MapType = 25
	MapRingBuf       MapType = 27
)

// Map is a map's definition.
type Map struct {
	Name               string
	Type               MapType
	KeySize, ValueSize uint32 // bytes
	MaxEntries         uint32
	Flags              uint32
	Inner              *Map
	// Data is the initial contents of a data section (.rodata, .data, .bss),
	// nil for other maps. ReadOnly contents never change after loading, but a
	// loader may still rewrite them before it.
	Data     []byte
	ReadOnly bool
}

// Marks reports whether a lookup changes the map: one that drops what was unused for
// the longest time notes each use (htab_lru_map_lookup_elem in kernel/bpf/hashtab.c).
// A map of which nothing is known, nil, may do so.
func (m *Map) Marks() bool {
	return m == nil || m.Type == MapLRUHash || m.Type == MapLRUPerCPUHash
}

// MapGiven is the map whose address the call k gets as its first argument, nil if
// the block does not tell.
func MapGiven(f *Func, g *CFG, k int) *Map {
	for at := k - 1; at >= g.Blocks[g.BlockOf[k]].From; at-- {
		if in := &f.Insns[at]; in.Def().Has(isa.R1) {
			if in.Ref != nil && in.Ref.Kind == RefMap {
				return in.Ref.Map
			}
			return nil
		}
	}
	return nil
}

// Type is enum bpf_prog_type of include/uapi/linux/bpf.h.
type Type uint32

// Program types.
const (
	TypeUnspec                Type = 0
	TypeSocketFilter          Type = 1
	TypeKprobe                Type = 2
	TypeSchedCLS              Type = 3
	TypeSchedACT              Type = 4
	TypeTracepoint            Type = 5
	TypeXDP                   Type = 6
	TypePerfEvent             Type = 7
	TypeCgroupSKB             Type = 8
	TypeCgroupSock            Type = 9
	TypeLWTIn                 Type = 10
	TypeLWTOut                Type = 11
	TypeLWTXmit               Type = 12
	TypeSockOps               Type = 13
	TypeSKSKB                 Type = 14
	TypeCgroupDevice          Type = 15
	TypeSKMsg                 Type = 16
	TypeRawTracepoint         Type = 17
	TypeCgroupSockAddr        Type = 18
	TypeLWTSeg6Local          Type = 19
	TypeLircMode2             Type = 20
	TypeSKReuseport           Type = 21
	TypeFlowDissector         Type = 22
	TypeCgroupSysctl          Type = 23
	TypeRawTracepointWritable Type = 24
	TypeCgroupSockopt         Type = 25
	TypeTracing               Type = 26
	TypeStructOps             Type = 27
	TypeExt                   Type = 28
	TypeLSM                   Type = 29
	TypeSKLookup              Type = 30
	TypeSyscall               Type = 31
	TypeNetfilter             Type = 32
)

// Func is one function: a program's entry function or a subprogram.
type Func struct {
	Name    string
	Section string
	// Entry: the kernel calls it. Otherwise it is a subprogram.
	Entry bool
	// Global subprograms are verified on their own, for any argument.
	Global bool
	Type   Type
	// Attach is enum bpf_attach_type where the section name fixes one.
	Attach uint32
	// NumArgs is how many argument registers hold values at entry: 1 for an
	// entry function, what BTF says for a subprogram, 5 when unknown.
	NumArgs int
	// Args is what every caller of a subprogram hands over in R1 to R5, and
	// Result what a call of it returns, as far as its object or its type show.
	Args   [5]Arg
	Result Arg
	Insns  []Insn
	// Inlined are the bodies that took the place of calls, by rising First.
	Inlined []Inlined
	// Unsupported says why the function cannot be edited (an unknown opcode,
	// for instance); empty when it can.
	Unsupported string
}

// Clone copies the function; Refs are shared.
func (f *Func) Clone() *Func {
	g := *f
	g.Insns = slices.Clone(f.Insns)
	return &g
}

// Slots counts the function's size: lddw 2, `ja +0` 0, all else 1.
func (f *Func) Slots() int {
	n := 0
	for i := range f.Insns {
		n += f.Insns[i].Slots()
	}
	return n
}

// Check verifies the package's invariant.
func Check(f *Func) error {
	n := len(f.Insns)
	if n == 0 {
		return fmt.Errorf("%s: no instructions", f.Name)
	}
	for k := range f.Insns {
		in := &f.Insns[k]
		row := in.Row()
		if row.Kind == isa.KindInvalid {
			return fmt.Errorf("%s: instruction %d: invalid row", f.Name, k)
		}
		if in.IsJump() {
			if in.Target < 0 || in.Target >= n {
				return fmt.Errorf("%s: instruction %d: jump to %d of %d", f.Name, k, in.Target, n)
			}
		} else if in.Target != -1 {
			return fmt.Errorf("%s: instruction %d (%s) has a target", f.Name, k, row.Name)
		}
		if in.Dst >= isa.NumRegs || in.Src >= isa.NumRegs {
			return fmt.Errorf("%s: instruction %d: register out of range", f.Name, k)
		}
	}
	for k := n - 1; k >= 0; k-- {
		in := f.Insns[k]
		if in.Op == isa.Nop {
			continue
		}
		if !in.EndsBlock() {
			return fmt.Errorf("%s: control falls through the end", f.Name)
		}
		break
	}
	return nil
}

// Compact removes no-ops and retargets jumps. A jump to a removed instruction
// goes to the next that remains.
func (f *Func) Compact() {
	if !slices.ContainsFunc(f.Insns, func(in Insn) bool { return in.Op == isa.Nop }) {
		return
	}
	at := make([]int, len(f.Insns)+1)
	out := make([]Insn, 0, len(f.Insns))
	for k := range f.Insns {
		at[k] = len(out)
		if f.Insns[k].Op != isa.Nop {
			out = append(out, f.Insns[k])
		}
	}
	at[len(f.Insns)] = len(out)
	for k := range out {
		if out[k].Target >= 0 {
			out[k].Target = at[out[k].Target]
		}
	}
	f.Insns = out
}

// Splice replaces instructions [from,to) by repl. Targets inside repl are
// indices of the function as it was (jumps to `to` and beyond, or before from)
// or, when negative below -1, -2-k for the k-th instruction of repl. Jumps
// from outside to from go to the first new instruction; jumps into the middle
// of the replaced range are refused.
func (f *Func) Splice(from, to int, repl []Insn) error {
	delta := len(repl) - (to - from)
	shift := func(t int) int {
		if t >= to {
			return t + delta
		}
		return t
	}
	move := func(t int) int {
		if t == from {
			return t
		}
		return shift(t)
	}
	out := make([]Insn, 0, len(f.Insns)+delta)
	for k := range f.Insns {
		if k >= from && k < to {
			continue
		}
		if t := f.Insns[k].Target; t > from && t < to {
			return fmt.Errorf("%s: instruction %d jumps into the replaced range [%d,%d)", f.Name, k, from, to)
		}
	}
	for _, in := range f.Insns[:from] {
		in.Target = move(in.Target)
		out = append(out, in)
	}
	for _, in := range repl {
		if in.Target <= -2 {
			in.Target = from + (-2 - in.Target)
		} else {
			in.Target = shift(in.Target)
		}
		out = append(out, in)
	}
	for _, in := range f.Insns[to:] {
		in.Target = move(in.Target)
		out = append(out, in)
	}
	f.Insns = out
	return nil
}

// New makes an instruction without target, reference or origin.
func New(i isa.Insn) Insn { return Insn{Insn: i, Target: -1, Origin: -1} }

// SameCode reports whether two functions have the same instructions, origins
// aside.
func SameCode(a, b *Func) bool {
	return slices.EqualFunc(a.Insns, b.Insns, func(x, y Insn) bool {
		return x.Insn == y.Insn && x.Target == y.Target && x.Ref == y.Ref
	})
}
