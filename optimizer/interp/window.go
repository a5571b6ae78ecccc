package interp

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// State is the machine's state at one point of a run: a test case for windows
// that start there.
type State struct {
	Regs [isa.NumRegs]uint64
	data [][]byte
	ctx  context
}

// Snapshot copies the state; Hook calls it where tests are wanted. It copies the
// maps too, so it is meant for a few hundred states, not for every step.
func (m *Machine) Snapshot() *State {
	s := &State{ctx: m.ctx, data: make([][]byte, len(m.data))}
	copy(s.Regs[:], m.r[:])
	for k := range m.data {
		if used := k < regStack || k >= regMaps || k-regStack <= len(m.frames); used {
			s.data[k] = bytes.Clone(m.data[k])
		}
	}
	s.ctx.bytes = bytes.Clone(m.ctx.bytes)
	s.ctx.frozen = true
	return s
}

// StackState makes a state with nothing but registers and a stack whose lowest
// byte is stack[0]; r10 is set to its end.
func StackState(regs [isa.NumRegs]uint64, stack []byte) *State {
	s := &State{Regs: regs, data: make([][]byte, regMaps)}
	s.data[regStack] = make([]byte, isa.StackSize)
	copy(s.data[regStack], stack)
	s.Regs[isa.FP] = regionAddr(regStack) + isa.StackSize
	s.ctx.frozen = true
	return s
}

// Contract says what of a window's result counts.
type Contract struct {
	Live isa.RegSet
	// DeadStack marks bytes of the frame, from its lowest, that nobody reads.
	DeadStack [isa.StackSize]bool
}

// Score is how far a candidate is from the original over all tests.
type Score struct {
	// Equal: no live register or byte differs in any test.
	Equal bool
	// Bits counts differing bits; a fault counts as all live bits.
	Bits int
	// Abs adds the absolute differences of registers and bytes.
	Abs float64
	// Faults counts tests in which the candidate accessed memory outside.
	Faults int
}

// Window tests straight-line candidates against an original. It allocates
// nothing while it scores.
type Window struct {
	contract Contract
	tests    []windowTest
	x        cpu
	code     []inst
}

type windowTest struct {
	in      [16]uint64
	data    [][]byte
	ctx     *context
	out     [16]uint64
	writes  []wroteByte // the original's, by address
	frameLo uint64
}

type wroteByte struct {
	addr uint64
	val  byte
}

// NewWindow runs the original on each state and remembers the results. States
// on which it faults are left out; it is an error if none remains, or if the
// original is not straight-line code.
func NewWindow(original []isa.Insn, c Contract, states []*State) (*Window, error) {
	w := &Window{contract: c}
	if err := w.prepare(original); err != nil {
		return nil, err
	}
	w.x.log = true
	for _, s := range states {
		t := windowTest{data: s.data, ctx: &s.ctx, frameLo: s.Regs[isa.FP] - isa.StackSize}
		copy(t.in[:], s.Regs[:])
		if !w.run(&t) {
			w.x.rollback()
			continue
		}
		t.out = w.x.r
		for k := range w.x.journal {
			u := &w.x.journal[k]
			for i := range uint64(u.width) {
				a := u.addr + i
				if t.find(a) < 0 && !w.dead(&t, a) {
					t.writes = append(t.writes, wroteByte{a, w.x.at(a, 1)[0]})
				}
			}
		}
		w.x.rollback()
		w.tests = append(w.tests, t)
	}
	if len(w.tests) == 0 {
		return nil, fmt.Errorf("no test on which the window runs: %w", ErrFault)
	}
	return w, nil
}

// Tests is the number of tests in use.
func (w *Window) Tests() int { return len(w.tests) }

func (w *Window) dead(t *windowTest, a uint64) bool {
	o := a - t.frameLo
	return o < isa.StackSize && w.contract.DeadStack[o]
}

func (t *windowTest) find(a uint64) int {
	for k := range t.writes {
		if t.writes[k].addr == a {
			return k
		}
	}
	return -1
}

func (w *Window) prepare(code []isa.Insn) error {
	w.code = w.code[:0]
	for _, in := range code {
		switch row := in.Row(); row.Kind {
		case isa.KindNop:
			continue
		case isa.KindALU, isa.KindLoad, isa.KindStore, isa.KindAtomic:
		case isa.KindLoadImm:
			if row.Form != 0 {
				return ErrUnsupported
			}
		default:
			return ErrUnsupported
		}
		w.code = append(w.code, inst{imm: uint64(in.Imm), off: uint64(int64(in.Off)), op: uint16(in.Op), dst: uint8(in.Dst), src: uint8(in.Src)})
	}
	w.code = append(w.code, inst{}) // the end
	return nil
}

// run executes the prepared code on a test and reports whether it got to the
// end. The caller rolls back.
func (w *Window) run(t *windowTest) bool {
	w.x.r = t.in
	w.x.data, w.x.ctx = t.data, t.ctx
	w.x.steps = len(w.code) + 1
	_, why := w.x.exec(w.code, 0)
	return why == stopCall
}

// Score runs a candidate on every test. It stops early when more than maxBits
// bits differ; the score is then a lower bound. A candidate that is not
// straight-line code gives ErrUnsupported.
func (w *Window) Score(code []isa.Insn, maxBits int) (Score, error) {
	s := Score{}
	if err := w.prepare(code); err != nil {
		return s, err
	}
	for k := range w.tests {
		t := &w.tests[k]
		if w.run(t) {
			w.diff(t, &s)
		} else {
			s.Faults++
			s.Bits += 64 * max(1, bits.OnesCount16(uint16(w.contract.Live)))
		}
		w.x.rollback()
		if s.Bits > maxBits {
			return s, nil
		}
	}
	s.Equal = s.Bits == 0 && s.Faults == 0
	return s, nil
}

func (w *Window) diff(t *windowTest, s *Score) {
	for live := uint16(w.contract.Live); live != 0; live &= live - 1 {
		r := bits.TrailingZeros16(live) & 15
		if d := w.x.r[r] ^ t.out[r]; d != 0 {
			s.Bits += bits.OnesCount64(d)
			s.Abs += distance(w.x.r[r], t.out[r])
		}
	}
	for k := range t.writes {
		got := w.x.at(t.writes[k].addr, 1)[0]
		s.byte(got, t.writes[k].val)
	}
	for k := range w.x.journal {
		u := &w.x.journal[k]
		for i := range uint64(u.width) {
			a := u.addr + i
			if t.find(a) >= 0 || w.dead(t, a) || w.touched(k, a) {
				continue
			}
			s.byte(w.x.at(a, 1)[0], byte(u.old>>(8*i)))
		}
	}
}

// touched: an earlier journal entry already holds the byte's original value.
func (w *Window) touched(k int, a uint64) bool {
	for j := range k {
		if u := &w.x.journal[j]; a-u.addr < uint64(u.width) {
			return true
		}
	}
	return false
}

func (s *Score) byte(got, want byte) {
	if got != want {
		s.Bits += bits.OnesCount8(got ^ want)
		s.Abs += distance(uint64(got), uint64(want))
	}
}

func distance(a, b uint64) float64 {
	if a > b {
		return float64(a - b)
	}
	return float64(b - a)
}
