package isa

// Reg is a BPF register number, R0 to R10.
type Reg uint8

// The registers by role: R0 is the return value, R1 to R5 the arguments
// (clobbered by calls), R6 to R9 preserved over calls, R10 the frame pointer.
const (
	R0 Reg = iota
	R1
	R2
	R3
	R4
	R5
	R6
	R7
	R8
	R9
	R10
	NumRegs = 11
)

// FP is the read-only frame pointer.
const FP = R10

// StackSize is the size of one stack frame in bytes.
const StackSize = 512

// RegSet is a bit set of registers.
type RegSet uint16

// Regs makes a set.
func Regs(rs ...Reg) RegSet {
	var s RegSet
	for _, r := range rs {
		s |= 1 << r
	}
	return s
}

// Has reports whether r is in the set.
func (s RegSet) Has(r Reg) bool { return s>>r&1 != 0 }

// With returns the set with r added.
func (s RegSet) With(r Reg) RegSet { return s | 1<<r }

// Without returns the set with r removed.
func (s RegSet) Without(r Reg) RegSet { return s &^ (1 << r) }

// Sets that calls use.
const (
	AllRegs     RegSet = 1<<NumRegs - 1
	CallerSaved RegSet = 0b0000_0011_1111 // r0 to r5
	CalleeSaved RegSet = 0b0011_1100_0000 // r6 to r9
	ArgRegs     RegSet = 0b0000_0011_1110 // r1 to r5
)

// Op is the index of an instruction's row in the table. Zero is invalid.
type Op uint16

// Insn is one instruction in normal form: the row names the operation, and the
// encoding's discriminators (pseudo source registers, the atomic code in imm,
// the sign marker in off) live in the row, not here. An lddw is one Insn.
type Insn struct {
	Op  Op
	Dst Reg
	Src Reg
	// Off is the memory offset in bytes. Jumps keep their distance here only
	// in the encoded form; package prog holds targets as instruction indices.
	Off int16
	// Imm is the immediate: the sign-extended 32-bit field, or all 64 bits of
	// an lddw.
	Imm int64
}

// Row returns the table row of the instruction.
func (i Insn) Row() *Row { return &table[i.Op] }

// Slots returns how many 8-byte slots the instruction takes: 2 for lddw, 0 for
// the no-op `ja +0` that stands for a deleted instruction, otherwise 1.
func (i Insn) Slots() int {
	if i.Op == Nop {
		return 0
	}
	return int(i.Row().Slots)
}

// Def returns the registers that the instruction writes, clobbers included.
func (i Insn) Def() RegSet {
	r := i.Row()
	switch r.Kind {
	case KindALU, KindLoadImm, KindLoad, KindAddrCast:
		return Regs(i.Dst)
	case KindAtomic:
		switch {
		case r.Fn == FnCmpXchg:
			return Regs(R0)
		case r.Fetch:
			return Regs(i.Src)
		case r.Fn == FnLoadAcq:
			return Regs(i.Dst)
		}
		return 0
	case KindCallHelper, KindCallFunc, KindCallKfunc, KindCallReg, KindLoadPacket:
		return CallerSaved
	}
	return 0
}

// Use returns the registers that the instruction reads. For helper calls the
// helper's row decides; other calls read all argument registers (package prog
// narrows that where it knows the callee). Exit reads R0.
func (i Insn) Use() RegSet {
	r := i.Row()
	var s RegSet
	switch r.Kind {
	case KindALU:
		if r.ReadsDst {
			s = s.With(i.Dst)
		}
		if !r.Imm && r.ReadsSrc {
			s = s.With(i.Src)
		}
	case KindLoad:
		s = Regs(i.Src)
	case KindAddrCast:
		s = Regs(i.Src)
	case KindStore:
		s = Regs(i.Dst)
		if !r.Imm {
			s = s.With(i.Src)
		}
	case KindAtomic:
		if r.Fn == FnLoadAcq {
			return Regs(i.Src)
		}
		s = Regs(i.Dst, i.Src)
		if r.Fn == FnCmpXchg {
			s = s.With(R0)
		}
	case KindCondJump:
		s = Regs(i.Dst)
		if !r.Imm {
			s = s.With(i.Src)
		}
	case KindCallHelper:
		s = HelperArgs(int32(i.Imm))
	case KindCallFunc, KindCallKfunc:
		s = ArgRegs
	case KindCallReg:
		s = ArgRegs.With(i.Dst)
	case KindLoadPacket:
		s = Regs(R6) // the context, implicitly
		if !r.Imm {
			s = s.With(i.Src)
		}
	case KindExit:
		s = Regs(R0)
	}
	return s
}

// EndsBlock reports whether control never falls through the instruction.
func (i Insn) EndsBlock() bool {
	k := i.Row().Kind
	return k == KindExit || k == KindJump
}

// IsJump reports whether the instruction has a jump target.
func (i Insn) IsJump() bool {
	k := i.Row().Kind
	return k == KindJump || k == KindCondJump || k == KindMayGoto
}

// IsCall reports whether the instruction calls anything.
func (i Insn) IsCall() bool {
	switch i.Row().Kind {
	case KindCallHelper, KindCallFunc, KindCallKfunc, KindCallReg:
		return true
	}
	return false
}
