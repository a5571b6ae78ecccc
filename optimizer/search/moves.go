package search

import (
	"math/rand/v2"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// move proposes a change to code, in place, and reports whether it made one.
type move struct {
	name   string
	weight func(s *Settings) float64
	do     func(c *chain, code []isa.Insn) bool
}

// moves are the proposals of the K2 paper, section 3.1.
var moves = []move{
	{"instruction", func(s *Settings) float64 { return s.Instruction }, (*chain).replaceInstruction},
	{"operand", func(s *Settings) float64 { return s.Operand }, (*chain).replaceOperand},
	{"nop", func(s *Settings) float64 { return s.Nop }, (*chain).replaceByNop},
	{"memory-1", func(s *Settings) float64 { return s.Memory1 }, (*chain).exchangeMemory1},
	{"memory-2", func(s *Settings) float64 { return s.Memory2 }, (*chain).exchangeMemory2},
	{"contiguous", func(s *Settings) float64 { return s.Contiguous }, (*chain).replaceContiguous},
}

// candidates are the rows that a chain may use, by instruction set level.
func candidates(mcpu int, loads, stores bool) []isa.Op {
	var out []isa.Op
	for _, r := range isa.Rows() {
		if int(r.MinCPU) > mcpu {
			continue
		}
		switch r.Kind {
		case isa.KindALU:
			switch r.Fn {
			case isa.FnDiv, isa.FnMod, isa.FnSDiv, isa.FnSMod, isa.FnMul:
				continue // never cheaper than what they replace
			}
		case isa.KindLoad:
			if !loads {
				continue
			}
		case isa.KindStore:
			if !stores {
				continue
			}
		default:
			continue
		}
		out = append(out, r.Op)
	}
	return out
}

func (c *chain) reg() isa.Reg { return isa.Reg(c.r.IntN(isa.NumRegs - 1)) }

// source draws a register that may be read; the frame pointer counts.
func (c *chain) source() isa.Reg { return isa.Reg(c.r.IntN(isa.NumRegs)) }

func (c *chain) imm() int64 {
	if c.r.IntN(4) == 0 {
		return int64(c.r.IntN(65)) - 32
	}
	return c.w.imms[c.r.IntN(len(c.w.imms))]
}

func (c *chain) off() int16 {
	if len(c.w.offs) == 0 {
		return 0
	}
	o := c.w.offs[c.r.IntN(len(c.w.offs))]
	if c.r.IntN(4) == 0 {
		o += int16(c.r.IntN(17)) - 8
	}
	return o
}

func (c *chain) base() isa.Reg {
	for range 16 {
		if r := isa.Reg(c.r.IntN(isa.NumRegs)); c.w.bases.Has(r) {
			return r
		}
	}
	return isa.FP
}

// random draws a whole instruction.
func (c *chain) random() isa.Insn {
	op := c.ops[c.r.IntN(len(c.ops))]
	row := isa.RowOf(op)
	in := isa.Insn{Op: op}
	switch row.Kind {
	case isa.KindALU:
		in.Dst = c.reg()
		if row.ReadsSrc {
			in.Src = c.source()
		} else if row.Imm && row.Fn != isa.FnNeg {
			in.Imm = c.imm()
			if row.Fn == isa.FnLsh || row.Fn == isa.FnRsh || row.Fn == isa.FnArsh {
				in.Imm &= int64(row.Width - 1)
			}
		}
	case isa.KindLoad:
		in.Dst, in.Src, in.Off = c.reg(), c.base(), c.off()
	case isa.KindStore:
		in.Dst, in.Off = c.base(), c.off()
		if row.Imm {
			in.Imm = c.imm()
		} else {
			in.Src = c.source()
		}
	}
	return in
}

func (c *chain) replaceInstruction(code []isa.Insn) bool {
	code[c.r.IntN(len(code))] = c.random()
	return true
}

func (c *chain) replaceOperand(code []isa.Insn) bool {
	in := &code[c.r.IntN(len(code))]
	row := in.Row()
	switch row.Kind {
	case isa.KindALU:
		switch {
		case c.r.IntN(2) == 0:
			in.Dst = c.reg()
		case row.ReadsSrc:
			in.Src = c.source()
		case row.Imm && row.Fn != isa.FnNeg:
			in.Imm = c.imm()
			if row.Fn == isa.FnLsh || row.Fn == isa.FnRsh || row.Fn == isa.FnArsh {
				in.Imm &= int64(row.Width - 1)
			}
		}
	case isa.KindLoad:
		switch c.r.IntN(3) {
		case 0:
			in.Dst = c.reg()
		case 1:
			in.Src = c.base()
		default:
			in.Off = c.off()
		}
	case isa.KindStore:
		switch {
		case c.r.IntN(2) == 0:
			in.Off = c.off()
		case row.Imm:
			in.Imm = c.imm()
		default:
			in.Src = c.source()
		}
	default:
		return false
	}
	return true
}

func (c *chain) replaceByNop(code []isa.Insn) bool {
	in := &code[c.r.IntN(len(code))]
	if in.Op == isa.Nop {
		return false
	}
	*in = isa.Insn{Op: isa.Nop}
	return true
}

// memoryAt picks a memory instruction.
func (c *chain) memoryAt(code []isa.Insn) (*isa.Insn, bool) {
	for range 8 {
		in := &code[c.r.IntN(len(code))]
		if k := in.Row().Kind; k == isa.KindLoad || k == isa.KindStore {
			return in, true
		}
	}
	return nil, false
}

var accessWidths = []uint8{8, 16, 32, 64}

// exchangeMemory1 changes the width of an access and what is stored.
func (c *chain) exchangeMemory1(code []isa.Insn) bool {
	in, ok := c.memoryAt(code)
	if !ok {
		return false
	}
	w := accessWidths[c.r.IntN(4)]
	if in.Row().Kind == isa.KindLoad {
		in.Op = isa.Load(w, false)
		return true
	}
	if c.r.IntN(2) == 0 {
		*in = isa.Insn{Op: isa.Store(w, true), Dst: in.Dst, Off: in.Off, Imm: c.imm()}
	} else {
		*in = isa.Insn{Op: isa.Store(w, false), Dst: in.Dst, Off: in.Off, Src: c.source()}
	}
	return true
}

// exchangeMemory2 changes the width of an access alone.
func (c *chain) exchangeMemory2(code []isa.Insn) bool {
	in, ok := c.memoryAt(code)
	if !ok {
		return false
	}
	w := accessWidths[c.r.IntN(4)]
	if row := in.Row(); row.Kind == isa.KindLoad {
		in.Op = isa.Load(w, false)
	} else {
		in.Op = isa.Store(w, row.Imm)
	}
	return true
}

// replaceContiguous draws two neighbours anew.
func (c *chain) replaceContiguous(code []isa.Insn) bool {
	k := c.r.IntN(len(code))
	code[k] = c.random()
	if k+1 < len(code) {
		code[k+1] = c.random()
	}
	return true
}

// pick draws a move by the settings' weights.
func (c *chain) pick(r *rand.Rand) int {
	x := r.Float64()
	for i := range moves {
		if x -= moves[i].weight(c.s); x < 0 {
			return i
		}
	}
	return 0
}
