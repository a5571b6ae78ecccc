package interp

import (
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// operands is the isa.Domain of machine words for one instruction: the
// reference that the generated code is held against.
type operands struct {
	dst, src, imm, r0, mem uint64
}

var _ isa.Domain[uint64] = (*operands)(nil)

func mask(v uint64, w uint8) uint64 {
	if w == 64 {
		return v
	}
	return v & (1<<w - 1)
}

func signExtend(v uint64, w uint8) int64 { return int64(v<<(64-w)) >> (64 - w) }

func (o *operands) Leaf(op isa.ExprOp, w uint8) uint64 {
	switch op {
	case isa.ExprDst:
		return o.dst
	case isa.ExprSrc:
		return o.src
	case isa.ExprImm:
		return o.imm
	case isa.ExprR0:
		return o.r0
	}
	return mask(o.mem, w)
}

func (o *operands) Const(v uint64, w uint8) uint64 { return mask(v, w) }

func (o *operands) Unary(op isa.ExprOp, w uint8, a uint64) uint64 {
	switch op {
	case isa.ExprNeg:
		return mask(-a, w)
	case isa.ExprBSwap:
		return bits.ReverseBytes64(a) >> (64 - w)
	}
	return a ^ 1
}

func (o *operands) Binary(op isa.ExprOp, w uint8, a, b uint64) uint64 {
	sa, sb := signExtend(a, w), signExtend(b, w)
	switch op {
	case isa.ExprAdd:
		return mask(a+b, w)
	case isa.ExprSub:
		return mask(a-b, w)
	case isa.ExprMul:
		return mask(a*b, w)
	case isa.ExprUDiv:
		if b == 0 {
			return mask(^uint64(0), w)
		}
		return a / b
	case isa.ExprURem:
		if b == 0 {
			return a
		}
		return a % b
	case isa.ExprSDiv:
		if b == 0 {
			if sa < 0 {
				return 1
			}
			return mask(^uint64(0), w)
		}
		return mask(uint64(sa/sb), w)
	case isa.ExprSRem:
		if b == 0 {
			return a
		}
		return mask(uint64(sa%sb), w)
	case isa.ExprAnd:
		return a & b
	case isa.ExprOr:
		return a | b
	case isa.ExprXor:
		return a ^ b
	case isa.ExprShl:
		return mask(a<<b, w)
	case isa.ExprLShr:
		return a >> b
	case isa.ExprAShr:
		return mask(uint64(sa>>b), w)
	case isa.ExprEq:
		return b2u(a == b)
	case isa.ExprUlt:
		return b2u(a < b)
	case isa.ExprUle:
		return b2u(a <= b)
	case isa.ExprSlt:
		return b2u(sa < sb)
	case isa.ExprSle:
		return b2u(sa <= sb)
	}
	panic("interp: not a binary operation")
}

func (o *operands) ZExt(_, _ uint8, a uint64) uint64 { return a }

func (o *operands) SExt(from, to uint8, a uint64) uint64 {
	return mask(uint64(signExtend(a, from)), to)
}

func (o *operands) Extract(_ uint8, lo uint64, w uint8, a uint64) uint64 { return mask(a>>lo, w) }

func (o *operands) Ite(_ uint8, c, a, b uint64) uint64 {
	if c != 0 {
		return a
	}
	return b
}

// slow does one step like exec, by walking the instruction's terms.
func (m *Machine) slow(pc int) (int, stop) {
	for {
		if m.Hook != nil {
			m.Hook(pc, &m.r)
		}
		if m.steps == 0 {
			return pc, stopSteps
		}
		m.steps--
		if m.counts != nil {
			m.counts[pc]++
		}
		in := m.p.code[pc]
		row := isa.RowOf(isa.Op(in.op))
		switch row.Kind {
		case isa.KindNop, isa.KindALU, isa.KindLoadImm, isa.KindLoad, isa.KindStore, isa.KindAtomic, isa.KindJump, isa.KindCondJump:
		default:
			return pc, stopCall
		}
		o := &operands{dst: m.r[in.dst], src: m.r[in.src], imm: in.imm, r0: m.r[0]}
		at := o.dst + in.off
		if row.Kind == isa.KindLoad || row.Fn == isa.FnLoadAcq {
			at = o.src + in.off
		}
		if row.Kind == isa.KindLoad || row.Kind == isa.KindAtomic && row.Fn != isa.FnStoreRel {
			v, ok := m.load(at, row.Width)
			if !ok {
				return pc, stopFault
			}
			o.mem = v
		}
		var result uint64
		if row.Kind == isa.KindLoadImm {
			result = in.imm
		} else if row.Result != nil {
			result = isa.Eval(row.Result, isa.Domain[uint64](o))
		}
		if row.Kind == isa.KindLoad && row.Width == 32 && !row.Signed {
			result = o.mem // a context field may give a whole pointer
		}
		if row.Store != nil && !m.store(at, isa.Eval(row.Store, isa.Domain[uint64](o)), row.Width) {
			return pc, stopFault
		}
		switch row.Kind {
		case isa.KindALU, isa.KindLoadImm, isa.KindLoad:
			m.r[in.dst] = result
		case isa.KindAtomic:
			switch {
			case row.Result == nil:
			case row.Fn == isa.FnCmpXchg:
				m.r[0] = result
			case row.Fn == isa.FnLoadAcq:
				m.r[in.dst] = result
			default:
				m.r[in.src] = result
			}
		case isa.KindJump:
			pc = int(in.target) - 1
		case isa.KindCondJump:
			if isa.Eval(row.Cond, isa.Domain[uint64](o)) != 0 {
				pc = int(in.target) - 1
			}
		}
		pc++
	}
}

func (m *memory) load(a uint64, w uint8) (uint64, bool) {
	switch w {
	case 8:
		return m.load8(a)
	case 16:
		return m.load16(a)
	case 32:
		return m.load32(a)
	}
	return m.load64(a)
}

func (m *memory) store(a, v uint64, w uint8) bool {
	switch w {
	case 8:
		return m.store8(a, v)
	case 16:
		return m.store16(a, v)
	case 32:
		return m.store32(a, v)
	}
	return m.store64(a, v)
}
