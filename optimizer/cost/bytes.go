package cost

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// extended is the set of registers that the JIT keeps in r8 to r15 of x86-64
// (reg2hex and is_ereg in arch/x86/net/bpf_jit_comp.c), whose 32-bit forms take
// a prefix that the 64-bit forms of all registers have anyway.
const extended = 1<<isa.R5 | 1<<isa.R7 | 1<<isa.R8 | 1<<isa.R9

// byteForm lists those whose low byte is named by a prefix alone.
const byteForm = extended | 1<<isa.R1 | 1<<isa.R2 | 1<<isa.FP

func prefix(s isa.RegSet, rs ...isa.Reg) int {
	for _, r := range rs {
		if s.Has(r) {
			return 1
		}
	}
	return 0
}

func fits8(v int64) bool { return v == int64(int8(v)) }

// Bytes estimates how many bytes of x86-64 code the JIT makes of one
// instruction. It breaks ties between forms that take equal time, so rare
// instructions are priced roughly.
func Bytes(in *prog.Insn) int {
	row := in.Row()
	wide := 1 // the prefix that makes an operation one of 64 bits
	if row.Width == 32 {
		wide = prefix(extended, in.Dst)
		if !row.Imm {
			wide = prefix(extended, in.Dst, in.Src)
		}
	}
	disp := 1
	if !fits8(int64(in.Off)) {
		disp = 4
	}
	switch row.Kind {
	case isa.KindNop:
		return 0
	case isa.KindALU:
		return aluBytes(in, row, wide)
	case isa.KindLoadImm:
		if in.Ref == nil && uint64(in.Imm)>>32 == 0 {
			return constBytes(in.Dst, in.Imm)
		}
		return 10
	case isa.KindLoad:
		switch {
		case row.Width == 32 && !row.Signed:
			return 2 + prefix(extended, in.Dst, in.Src) + disp
		case row.Width >= 32:
			return 3 + disp
		}
		return 4 + disp
	case isa.KindStore:
		n := 2 + disp
		switch {
		case row.Width == 64, prefix(extended, in.Dst) == 1,
			!row.Imm && (prefix(extended, in.Src) == 1 || row.Width == 8 && prefix(byteForm, in.Src) == 1):
			n++
		}
		if row.Width == 16 {
			n++
		}
		if row.Imm {
			n += min(int(row.Width)/8, 4)
		}
		return n
	case isa.KindAtomic:
		return 5 + disp
	case isa.KindCondJump:
		switch {
		case !row.Imm:
			return 2 + wide + 2
		case row.Fn == isa.FnJset:
			return 6 + wide + 2
		case in.Imm == 0:
			return 2 + wide + 2
		case fits8(in.Imm):
			return 3 + wide + 2
		}
		return 6 + wide + 2
	case isa.KindJump, isa.KindMayGoto:
		return 2
	}
	return 5 // calls, the jump to the common exit
}

// constBytes is a move of a 32-bit constant: xor for zero, sign-extended for a
// negative one.
func constBytes(d isa.Reg, v int64) int {
	if v == 0 {
		return 2 + prefix(extended, d)
	}
	return 5 + prefix(extended, d)
}

func aluBytes(in *prog.Insn, row *isa.Row, wide int) int {
	switch row.Fn {
	case isa.FnMov:
		switch {
		case !row.Imm:
			return 2 + wide
		case row.Width == 64 && in.Imm < 0:
			return 7
		}
		return constBytes(in.Dst, in.Imm)
	case isa.FnDiv, isa.FnMod, isa.FnSDiv, isa.FnSMod:
		return 18
	case isa.FnMul:
		switch {
		case !row.Imm:
			return 3 + wide
		case fits8(in.Imm):
			return 3 + wide
		}
		return 6 + wide
	case isa.FnLsh, isa.FnRsh, isa.FnArsh:
		switch {
		case row.Imm && in.Imm == 1, !row.Imm && in.Src == isa.R4: // r4 is rcx
			return 2 + wide
		case row.Imm:
			return 3 + wide
		}
		return 5
	case isa.FnNeg:
		return 2 + wide
	case isa.FnMovSX, isa.FnToBE, isa.FnToLE, isa.FnBSwap:
		return 4
	}
	switch {
	case !row.Imm:
		return 2 + wide
	case fits8(in.Imm):
		return 3 + wide
	case in.Dst == isa.R0: // rax has a form of its own
		return 5 + wide
	}
	return 6 + wide
}
