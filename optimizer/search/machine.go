package search

import (
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// memory is unbounded: a byte never written is a hash of its address, so that
// any load gives something and different addresses differ.
type memory struct {
	seed   uint64
	writes []write
}

type write struct {
	addr uint64
	b    byte
}

func (m *memory) load(addr uint64, n int) uint64 {
	var v uint64
	for i := n - 1; i >= 0; i-- {
		v = v<<8 | uint64(m.byte(addr+uint64(i)))
	}
	return v
}

func (m *memory) byte(addr uint64) byte {
	for i := len(m.writes) - 1; i >= 0; i-- {
		if m.writes[i].addr == addr {
			return m.writes[i].b
		}
	}
	x := (addr ^ m.seed) * 0x9e3779b97f4a7c15
	return byte(x >> 56)
}

func (m *memory) store(addr, v uint64, n int) {
	for i := range n {
		m.writes = append(m.writes, write{addr + uint64(i), byte(v >> (8 * i))})
	}
}

// machine executes straight-line code by the meaning of the rows.
type machine struct {
	regs [isa.NumRegs]uint64
	mem  memory
	in   *isa.Insn
	old  uint64 // the memory operand
}

var _ isa.Domain[uint64] = (*machine)(nil)

func low(v uint64, w uint8) uint64 {
	if w >= 64 {
		return v
	}
	return v & (1<<w - 1)
}

func signed(v uint64, w uint8) int64 { return int64(v<<(64-w)) >> (64 - w) }

func (m *machine) Leaf(op isa.ExprOp, w uint8) uint64 {
	switch op {
	case isa.ExprDst:
		return m.regs[m.in.Dst]
	case isa.ExprSrc:
		return m.regs[m.in.Src]
	case isa.ExprImm:
		return uint64(m.in.Imm)
	case isa.ExprR0:
		return m.regs[isa.R0]
	}
	return m.old
}

func (m *machine) Const(v uint64, w uint8) uint64 { return v }

func (m *machine) Unary(op isa.ExprOp, w uint8, a uint64) uint64 {
	switch op {
	case isa.ExprNeg:
		return low(-a, w)
	case isa.ExprBSwap:
		return bits.ReverseBytes64(a) >> (64 - w)
	}
	return low(^a, w)
}

func (m *machine) Binary(op isa.ExprOp, w uint8, a, b uint64) uint64 {
	var v uint64
	truth := func(t bool) uint64 {
		if t {
			return 1
		}
		return 0
	}
	switch op {
	case isa.ExprAdd:
		v = a + b
	case isa.ExprSub:
		v = a - b
	case isa.ExprMul:
		v = a * b
	case isa.ExprUDiv, isa.ExprURem, isa.ExprSDiv, isa.ExprSRem:
		// The rows ask for a quotient by zero only where they do not use it.
		switch {
		case b == 0:
			return 0
		case op == isa.ExprUDiv:
			v = a / b
		case op == isa.ExprURem:
			v = a % b
		case signed(b, w) == -1:
			return 0
		case op == isa.ExprSDiv:
			v = uint64(signed(a, w) / signed(b, w))
		default:
			v = uint64(signed(a, w) % signed(b, w))
		}
	case isa.ExprAnd:
		v = a & b
	case isa.ExprOr:
		v = a | b
	case isa.ExprXor:
		v = a ^ b
	case isa.ExprShl:
		v = a << b
	case isa.ExprLShr:
		v = a >> b
	case isa.ExprAShr:
		v = uint64(signed(a, w) >> b)
	case isa.ExprEq:
		return truth(a == b)
	case isa.ExprUlt:
		return truth(a < b)
	case isa.ExprUle:
		return truth(a <= b)
	case isa.ExprSlt:
		return truth(signed(a, w) < signed(b, w))
	case isa.ExprSle:
		return truth(signed(a, w) <= signed(b, w))
	}
	return low(v, w)
}

func (m *machine) ZExt(_, _ uint8, a uint64) uint64     { return a }
func (m *machine) SExt(from, to uint8, a uint64) uint64 { return low(uint64(signed(a, from)), to) }

func (m *machine) Extract(_ uint8, lo uint64, w uint8, a uint64) uint64 { return low(a>>lo, w) }

func (m *machine) Ite(_ uint8, c, a, b uint64) uint64 {
	if c == 1 {
		return a
	}
	return b
}

// run executes code; it must hold only what windows hold.
func (m *machine) run(code []isa.Insn) {
	for k := range code {
		in := &code[k]
		row := in.Row()
		m.in = in
		switch row.Kind {
		case isa.KindALU, isa.KindLoadImm:
			m.regs[in.Dst] = isa.Eval[uint64](row.Result, m)
		case isa.KindLoad:
			m.old = m.mem.load(m.regs[in.Src]+uint64(int64(in.Off)), int(row.Width/8))
			m.regs[in.Dst] = isa.Eval[uint64](row.Result, m)
		case isa.KindStore:
			m.mem.store(m.regs[in.Dst]+uint64(int64(in.Off)), isa.Eval[uint64](row.Store, m), int(row.Width/8))
		}
	}
}
