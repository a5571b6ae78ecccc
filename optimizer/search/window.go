package search

import (
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// window is a straight run of instructions [from,to) with its contract.
type window struct {
	from, to int
	code     []isa.Insn
	out      isa.RegSet // live after it
	readable isa.RegSet // hold something before it
	blocks   []block
	m        machine // runs candidates
	ran      int64   // instructions executed on a state by candidates
	imms     []int64
	offs     []int16
	bases    isa.RegSet // registers that the window accesses memory through
}

// block is a set of test states and what the window makes of them.
type block struct {
	in   [isa.NumRegs]interp.Lanes
	seed interp.Lanes
	want machine
}

// fit: the instruction may be in a window.
func fit(in *prog.Insn) bool {
	if in.Ref != nil || in.Op == isa.Nop {
		return false
	}
	switch in.Row().Kind {
	case isa.KindALU, isa.KindLoad, isa.KindStore:
		return true
	case isa.KindLoadImm:
		return in.Row().Form == isa.FormConst
	}
	return false
}

// newWindow prepares a window with n blocks of tests.
func newWindow(f *prog.Func, v *equiv.Values, live *prog.Liveness, from, to, n int, r *rand.Rand) *window {
	st := v.Before[from]
	if st == nil {
		return nil
	}
	w := &window{from: from, to: to, out: live.After[to-1]}
	for k := from; k < to; k++ {
		in := f.Insns[k].Insn
		w.code = append(w.code, in)
		row := in.Row()
		if row.Imm {
			w.imms = append(w.imms, in.Imm)
		}
		switch row.Kind {
		case isa.KindLoad:
			w.offs = append(w.offs, in.Off)
			w.bases = w.bases.With(in.Src)
		case isa.KindStore:
			w.offs = append(w.offs, in.Off)
			w.bases = w.bases.With(in.Dst)
		}
	}
	w.imms = append(w.imms, 0, 1, -1, 2, 8, 16, 32, 0xff, 0xffff)
	slices.Sort(w.imms)
	w.imms = slices.Compact(w.imms)
	var terms []smt.Term
	for reg := isa.R0; reg < isa.NumRegs; reg++ {
		if st.Regs[reg] != 0 {
			w.readable = w.readable.With(reg)
			terms = append(terms, st.Regs[reg])
		}
	}
	leaves := v.C.Leaves(terms...)
	for range n {
		var b block
		for i := range interp.NumLanes {
			as := smt.Assignment{}
			for _, l := range leaves {
				as[l] = draw(r, v.C.Width(l), i)
			}
			b.seed[i] = r.Uint64()
			for reg := isa.R0; reg < isa.NumRegs; reg++ {
				if st.Regs[reg] != 0 {
					b.in[reg][i] = v.C.Eval(st.Regs[reg], as)
				}
			}
		}
		b.want.start(&b)
		b.want.run(w.code)
		w.blocks = append(w.blocks, b)
	}
	// Nobody reads a register that holds nothing: it only looks live where what a call
	// takes is not known.
	set := w.readable
	for k := range w.code {
		set |= w.code[k].Def()
	}
	w.out &= set
	return w
}

var special = []uint64{0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 32, 1 << 63, ^uint64(0)}

// draw makes a value: first corner cases, then anything.
func draw(r *rand.Rand, w uint8, i int) uint64 {
	switch {
	case i%3 == 0:
		return low(special[r.IntN(len(special))], w)
	case i%3 == 1:
		return low(r.Uint64()>>r.IntN(64), w)
	}
	return low(r.Uint64(), w)
}

// distance is how far a candidate's outputs are off on a block of tests.
func (w *window) distance(b *block, popcount bool) float64 {
	got, want := &w.m, &b.want
	d := 0
	for r := isa.R0; r < isa.FP; r++ {
		if !w.out.Has(r) || got.regs[r] == want.regs[r] {
			continue
		}
		for i, x := range got.regs[r] {
			if popcount {
				d += bits.OnesCount64(x ^ want.regs[r][i])
			} else {
				d += bits.Len64(absDiff(x, want.regs[r][i]))
			}
		}
	}
	for _, list := range [][]store{want.mem.stores, got.mem.stores} {
		for k := range list {
			s := &list[k]
			for i, addr := range s.addr {
				for a := addr; a < addr+s.bytes; a++ {
					d += bits.OnesCount8(got.mem.byte(i, a) ^ want.mem.byte(i, a))
				}
			}
		}
	}
	return float64(d)
}

// absDiff measures distance by the size of the difference, in the logarithm:
// as it stands it would drown every other term of the cost.
func absDiff(a, b uint64) uint64 {
	if a > b {
		return a - b
	}
	return b - a
}

// errorOf adds up the distances over the tests, giving up at bound.
func (w *window) errorOf(code []isa.Insn, s *Settings, bound float64) float64 {
	sum := 0.0
	scale := 1.0
	if s.Average {
		scale = 1 / float64(len(w.blocks)*interp.NumLanes)
	}
	for i := range w.blocks {
		b := &w.blocks[i]
		w.m.start(b)
		w.ran += int64(w.m.run(code) * interp.NumLanes)
		if sum += scale * w.distance(b, s.Popcount); sum > bound {
			return sum
		}
	}
	return sum
}

// fork is the window for another walk at the same time.
func (w *window) fork() *window {
	x := *w
	x.m, x.ran = machine{}, 0
	return &x
}

// valid: every register is written before it is read, and the frame pointer
// stays.
func (w *window) valid(code []isa.Insn) bool {
	have := w.readable
	for k := range code {
		in := &code[k]
		if in.Op == isa.Nop {
			continue
		}
		if in.Use()&^have != 0 || in.Def().Has(isa.FP) {
			return false
		}
		have |= in.Def()
	}
	return w.out&^have == 0
}
