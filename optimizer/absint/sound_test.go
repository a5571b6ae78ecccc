package absint

import (
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// machine runs scalar code, with a stack, on the terms of package isa.
type machine struct {
	regs  [isa.NumRegs]uint64
	stack [isa.StackSize]byte
	in    *prog.Insn
	mem   uint64
}

const frameTop = uint64(0x7fff_1234_5000)

func (m *machine) Leaf(op isa.ExprOp, _ uint8) uint64 {
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
	return m.mem
}

func (m *machine) Const(v uint64, _ uint8) uint64 { return v }

func (m *machine) Unary(op isa.ExprOp, w uint8, a uint64) uint64 {
	switch op {
	case isa.ExprNeg:
		return -a & mask(w)
	case isa.ExprBSwap:
		return bits.ReverseBytes64(a) >> (64 - w)
	}
	return a ^ 1
}

func (m *machine) Binary(op isa.ExprOp, w uint8, a, b uint64) uint64 {
	v, _ := truth(op, w, a, b)
	return v
}

func (m *machine) ZExt(_, _ uint8, a uint64) uint64     { return a }
func (m *machine) SExt(from, to uint8, a uint64) uint64 { return uint64(sext(a, from)) & mask(to) }
func (m *machine) Extract(_ uint8, lo uint64, w uint8, a uint64) uint64 {
	return a >> lo & mask(w)
}
func (m *machine) Ite(_ uint8, c, a, b uint64) uint64 {
	if c != 0 {
		return a
	}
	return b
}

func (m *machine) read(at, size int) (v uint64) {
	for k := range size {
		v |= uint64(m.stack[at+k]) << (8 * k)
	}
	return v
}

// step runs instruction k and returns the next one.
func (m *machine) step(f *prog.Func, k int, ctx func() uint64) int {
	m.in = &f.Insns[k]
	row := m.in.Row()
	size := int(row.Width) / 8
	switch row.Kind {
	case isa.KindALU:
		m.regs[m.in.Dst] = isa.Eval[uint64](row.Result, m)
	case isa.KindLoad:
		if m.in.Src == isa.R10 {
			m.mem = m.read(int(m.in.Off)+isa.StackSize, size)
		} else {
			m.mem = ctx() & mask(row.Width)
		}
		m.regs[m.in.Dst] = isa.Eval[uint64](row.Result, m)
	case isa.KindStore:
		v := isa.Eval[uint64](row.Store, m)
		for k := range size {
			m.stack[int(m.in.Off)+isa.StackSize+k] = byte(v >> (8 * k))
		}
	case isa.KindCondJump:
		if isa.Eval[uint64](row.Cond, m) != 0 {
			return m.in.Target
		}
	}
	return k + 1
}

func randomProgram(r *rand.Rand) *prog.Func {
	f := &prog.Func{Name: "random", Entry: true, Type: prog.TypeRawTracepoint, NumArgs: 1}
	emit := func(i isa.Insn) *prog.Insn {
		f.Insns = append(f.Insns, prog.New(i))
		return &f.Insns[len(f.Insns)-1]
	}
	for _, reg := range []isa.Reg{0, 2, 3, 4, 5, 6, 7, 8, 9, 1} {
		emit(isa.Insn{Op: isa.Load(64, false), Dst: reg, Src: isa.R1, Off: int16(reg) * 8})
	}
	for k := 1; k <= 4; k++ {
		emit(isa.Insn{Op: isa.Store(64, false), Dst: isa.R10, Src: isa.Reg(k), Off: int16(-8 * k)})
	}
	var alus, jumps []isa.Row
	for _, row := range isa.Rows() {
		switch row.Kind {
		case isa.KindALU:
			alus = append(alus, row)
		case isa.KindCondJump:
			jumps = append(jumps, row)
		}
	}
	imm := func() int64 {
		v := int64(int32(r.Uint32())) >> r.IntN(32)
		if r.IntN(2) == 0 {
			v = int64(r.IntN(40))
		}
		return v
	}
	reg := func() isa.Reg { return isa.Reg(r.IntN(6)) }
	n := 15 + r.IntN(40)
	from := len(f.Insns)
	for range n {
		width := []uint8{8, 16, 32, 64}[r.IntN(4)]
		off := int16(-int(width/8) * (1 + r.IntN(32*8/int(width))))
		switch r.IntN(10) {
		case 0, 1, 2, 3:
			row := alus[r.IntN(len(alus))]
			in := isa.Insn{Op: row.Op, Dst: reg(), Src: reg(), Imm: imm()}
			if row.Fn == isa.FnLsh || row.Fn == isa.FnRsh || row.Fn == isa.FnArsh {
				in.Imm &= int64(row.Width - 1)
			}
			emit(in)
		case 4:
			emit(isa.Insn{Op: isa.ALU(isa.FnMov, 64, false), Dst: reg(), Src: reg()})
		case 5:
			emit(isa.Insn{Op: isa.Load(width, width < 64 && r.IntN(3) == 0), Dst: reg(), Src: isa.R10, Off: off})
		case 6:
			emit(isa.Insn{Op: isa.Store(width, r.IntN(2) == 0), Dst: isa.R10, Src: reg(), Off: off, Imm: imm()})
		default:
			row := jumps[r.IntN(len(jumps))]
			in := emit(isa.Insn{Op: row.Op, Dst: reg(), Src: reg(), Imm: imm()})
			in.Target = from + r.IntN(n)
			if k := len(f.Insns); r.IntN(4) != 0 && k < from+n {
				in.Target = k + r.IntN(from+n-k)
			}
		}
	}
	emit(isa.Insn{Op: isa.Exit})
	return f
}

// Every state of random programs with loops lies in the computed one.
func TestRandomProgramsAreCovered(t *testing.T) {
	programs := 60
	if testing.Short() {
		programs = 30
	}
	points, tight := 0, 0
	for seed := range programs {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		f := randomProgram(r)
		if err := prog.Check(f); err != nil {
			t.Fatal(err)
		}
		res := Analyze(f, Options{})
		for range 3 {
			m := &machine{}
			m.regs[isa.R10] = frameTop
			small := r.IntN(2) == 0
			ctx := func() uint64 {
				if small {
					return uint64(r.IntN(64)) - 8
				}
				return r.Uint64() >> r.IntN(64)
			}
			k := 0
			for range 100 {
				s := res.At(k)
				p, q := check(t, seed, k, f, s, m)
				points, tight = points+p, tight+q
				if f.Insns[k].Op == isa.Exit {
					break
				}
				k = m.step(f, k, ctx)
			}
		}
	}
	t.Logf("%d register states, %d with a bound", points, tight)
	if tight == 0 {
		t.Error("nothing was known anywhere")
	}
}

func check(t *testing.T, seed, k int, f *prog.Func, s *State, m *machine) (points, tight int) {
	t.Helper()
	if !s.Reachable {
		t.Fatalf("program %d: instruction %d was reached", seed, k)
	}
	for r := isa.R0; r < isa.R10; r++ {
		v := s.Reg(r)
		if v.Kind != Scalar {
			continue
		}
		points++
		if v.Num != Full(64) {
			tight++
		}
		if !v.Num.Has(m.regs[r]) {
			t.Fatalf("program %d, before instruction %d: r%d = %#x, not in %v", seed, k, r, m.regs[r], v.Num)
		}
		for q := isa.R0; q < r; q++ {
			if w := s.Reg(q); w.Kind == Scalar && w.ID != 0 && w.ID == v.ID && m.regs[q]-uint64(w.Fix) != m.regs[r]-uint64(v.Fix) {
				t.Fatalf("program %d, before instruction %d: r%d and r%d are said to be %d apart", seed, k, q, r, v.Fix-w.Fix)
			}
		}
	}
	for _, size := range []int{1, 2, 4, 8} {
		for at := 256; at < isa.StackSize; at += size {
			off := at - isa.StackSize
			if v := s.StackValue(off, size); v.Kind == Scalar && !v.Num.Has(m.read(at, size)) {
				t.Fatalf("program %d, before instruction %d: %d bytes at %d are %#x, not in %v", seed, k, size, off, m.read(at, size), v.Num)
			}
		}
	}
	return points, tight
}
