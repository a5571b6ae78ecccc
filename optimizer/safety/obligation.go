package safety

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Kind is a kind of obligation.
type Kind uint8

// The kinds.
const (
	Holds      Kind = iota // the register holds something
	Writable               // the register may be written
	Accessible             // Size bytes at the register plus Off may be accessed
	Stored                 // the register's value may be stored as Size bytes where At points
	Computes               // the arithmetic is allowed on what the registers hold
	Defined                // the immediate is a divisor or shift that is allowed
	Argument               // the register suits the helper's argument Arg
	Returns                // R0 is a result that the program's type allows
)

var kindNames = [...]string{"holds", "writable", "accessible", "stored", "computes", "defined", "argument", "returns"}

func (k Kind) String() string { return kindNames[k] }

// Obligation is something that must be true before an instruction.
type Obligation struct {
	Kind Kind
	Reg  isa.Reg
	At   isa.Reg // Stored: the address
	Off  int64
	Size int // bytes
	// Write, Atomic and Signed say how memory is accessed.
	Write, Atomic, Signed bool
	// Of an Argument: the helper and which of its arguments.
	Helper *isa.Helper
	Arg    int
	// Insn is the instruction, for what only it can tell.
	Insn *prog.Insn
}

// Of lists what instruction k of f owes, in the order in which the kernel's
// checker asks.
func Of(f *prog.Func, k int) []Obligation {
	in := &f.Insns[k]
	row := in.Row()
	var out []Obligation
	add := func(o Obligation) {
		o.Insn = in
		out = append(out, o)
	}
	// A call's arguments are asked for one by one below.
	if !in.IsCall() {
		for r := isa.R0; r <= isa.FP; r++ {
			if in.Use().Has(r) {
				add(Obligation{Kind: Holds, Reg: r})
			}
		}
	}
	if in.Def().Has(isa.FP) {
		add(Obligation{Kind: Writable, Reg: isa.FP})
	}
	access := func(base isa.Reg, write, atomic bool) {
		add(Obligation{Kind: Accessible, Reg: base, Off: int64(in.Off), Size: int(row.Width / 8), Write: write, Atomic: atomic, Signed: row.Signed})
	}
	switch row.Kind {
	case isa.KindALU:
		add(Obligation{Kind: Defined})
		add(Obligation{Kind: Computes, Reg: in.Dst})
	case isa.KindLoad:
		access(in.Src, false, false)
	case isa.KindStore:
		if !row.Imm {
			add(Obligation{Kind: Stored, Reg: in.Src, At: in.Dst, Off: int64(in.Off), Size: int(row.Width / 8)})
		}
		access(in.Dst, true, false)
	case isa.KindAtomic:
		if row.Fn == isa.FnLoadAcq {
			access(in.Src, false, true)
		} else {
			access(in.Dst, true, true)
		}
	case isa.KindCallHelper:
		h := isa.HelperOf(int32(in.Imm))
		for i, a := range h.Args {
			if a != isa.ArgNone {
				add(Obligation{Kind: Argument, Reg: isa.R1 + isa.Reg(i), Helper: h, Arg: i})
			}
		}
	case isa.KindExit:
		add(Obligation{Kind: Returns, Reg: isa.R0})
	}
	return out
}
