package environ

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// ErrSteps is returned when a run does not end.
var ErrSteps = errors.New("too many steps")

// Trace is what a run did that others can see.
type Trace struct {
	Result uint64
	// Calls holds effects in order, each with what it was given and a digest of
	// the memory that it found.
	Calls []string
	// Memory holds the bytes outside the frame that differ from before.
	Memory map[uint64]byte
}

// Differs says how u differs from t, empty when it does not. The result is
// compared in the low width bits.
func (t *Trace) Differs(u *Trace, width uint8) string {
	for i := range min(len(t.Calls), len(u.Calls)) {
		if t.Calls[i] != u.Calls[i] {
			return fmt.Sprintf("call %d: %s and %s", i, t.Calls[i], u.Calls[i])
		}
	}
	switch {
	case len(t.Calls) != len(u.Calls):
		return fmt.Sprintf("%d calls and %d", len(t.Calls), len(u.Calls))
	case !maps.Equal(t.Memory, u.Memory):
		return fmt.Sprintf("memory %x and %x", t.Memory, u.Memory)
	case low(t.Result, width) != low(u.Result, width):
		return fmt.Sprintf("result %#x and %#x", t.Result, u.Result)
	}
	return ""
}

// Machine is a run in progress.
type Machine struct {
	w      *World
	f      *prog.Func
	regs   [isa.NumRegs]uint64
	in     *isa.Insn
	old    uint64
	bytes  map[uint64]byte // written
	held   map[string]bool // keys known to be in a map or not
	epoch  uint64          // of memory
	packet uint64          // how often the packet changed
	budget int             // of may_goto
	calls  []string
}

// Run executes f in w for at most steps instructions.
func Run(f *prog.Func, w *World, steps int) (*Trace, error) {
	m := &Machine{w: w, f: f, bytes: map[uint64]byte{}, held: map[string]bool{}, budget: 8}
	for r := range m.regs {
		m.regs[r] = w.hash(3, uint64(r)) // what a register holds before it is set
	}
	m.regs[isa.FP] = frameTop
	for r := isa.R1; r <= isa.R5; r++ {
		m.regs[r] = w.argument(r)
	}
	for at := 0; ; {
		if steps--; steps < 0 {
			return nil, ErrSteps
		}
		in := &f.Insns[at]
		if in.Row().Kind == isa.KindExit {
			return m.trace(m.regs[isa.R0]), nil
		}
		jump, end, err := m.step(in)
		switch {
		case err != nil:
			return nil, err
		case end:
			return m.trace(0), nil
		case jump:
			at = in.Target
		default:
			at++
		}
	}
}

func (m *Machine) trace(result uint64) *Trace {
	t := &Trace{Result: result, Calls: m.calls, Memory: map[uint64]byte{}}
	for a, b := range m.bytes {
		if !inFrame(a) && b != m.w.initial(a, m.epoch) {
			t.Memory[a] = b
		}
	}
	return t
}

func inFrame(a uint64) bool { return a >= frameTop-isa.StackSize && a < frameTop }

func (m *Machine) byteAt(a uint64) byte {
	if b, ok := m.bytes[a]; ok {
		return b
	}
	if inFrame(a) {
		return m.w.initial(a, 0)
	}
	return m.w.initial(a, m.epoch)
}

func (m *Machine) load(a uint64, n int) uint64 {
	var v uint64
	for i := n - 1; i >= 0; i-- {
		v = v<<8 | uint64(m.byteAt(a+uint64(i)))
	}
	return v
}

func (m *Machine) store(a, v uint64, n int) {
	for i := range n {
		m.bytes[a+uint64(i)] = byte(v >> (8 * i))
	}
}

// digest sums up memory outside the frame.
func (m *Machine) digest() uint64 {
	var d uint64
	for a, b := range m.bytes {
		if !inFrame(a) && b != m.w.initial(a, m.epoch) {
			d ^= mix(a, uint64(b)+1)
		}
	}
	return d
}

func (m *Machine) start() uint64 { return packetAt + m.packet*packetStep }

func (m *Machine) step(in *prog.Insn) (jump, end bool, err error) {
	row := in.Row()
	i := in.Insn
	if in.Patched() {
		h := m.w.hash(4, name(in.Ref.Name), uint64(in.Ref.Kind))
		i.Imm, i.Off = int64(int32(m.w.value(h))), int16(h>>32&0x7ff)
	}
	m.in = &i
	off := uint64(int64(i.Off))
	switch row.Kind {
	case isa.KindNop:
	case isa.KindJump:
		return true, false, nil
	case isa.KindCondJump:
		return isa.Eval[uint64](row.Cond, m) == 1, false, nil
	case isa.KindMayGoto:
		m.budget--
		return m.budget < 0, false, nil
	case isa.KindALU:
		m.regs[i.Dst] = isa.Eval[uint64](row.Result, m)
	case isa.KindLoadImm:
		m.regs[i.Dst] = m.wide(in, i.Imm)
	case isa.KindLoad:
		a := m.regs[i.Src] + off
		if start, ok := contextPointer(m.f.Type, a-contextAt, int(row.Width/8)); ok {
			m.regs[i.Dst] = m.start()
			if !start {
				m.regs[i.Dst] += m.w.size
			}
			break
		}
		m.old = m.load(a, int(row.Width/8))
		m.regs[i.Dst] = isa.Eval[uint64](row.Result, m)
	case isa.KindStore:
		m.store(m.regs[i.Dst]+off, isa.Eval[uint64](row.Store, m), int(row.Width/8))
	case isa.KindAtomic:
		m.atomic(row, off)
	case isa.KindLoadPacket:
		at := uint64(i.Imm)
		if !row.Imm {
			at += m.regs[i.Src]
		}
		n := int(row.Width / 8)
		if uint64(uint32(at))+uint64(n) > m.w.size {
			return false, true, nil
		}
		m.old = m.load(m.start()+uint64(uint32(at)), n)
		m.clobber(m.Unary(isa.ExprBSwap, row.Width, m.old))
	case isa.KindCallHelper, isa.KindCallFunc, isa.KindCallKfunc:
		m.call(in)
	default:
		return false, false, fmt.Errorf("environ: no model of %s", row.Name)
	}
	return false, false, nil
}

func (m *Machine) wide(in *prog.Insn, imm int64) uint64 {
	r := in.Ref
	switch {
	case r == nil:
		return uint64(imm)
	case r.Kind == prog.RefMap:
		return symbolsAt + name(r.Name)
	case r.Kind == prog.RefMapValue || r.Kind == prog.RefKconfig:
		return mapAt(r.Name) + uint64(r.Off)
	}
	return m.w.hash(5, name(r.Name), uint64(r.Kind), uint64(r.Off))
}

func (m *Machine) atomic(row *isa.Row, off uint64) {
	base := m.in.Dst
	if row.Fn == isa.FnLoadAcq {
		base = m.in.Src
	}
	a, n := m.regs[base]+off, int(row.Width/8)
	if !inFrame(a) {
		m.calls = append(m.calls, fmt.Sprintf("%s %#x %#x %x", row.Name, a, low(m.regs[m.in.Src], row.Width), m.digest()))
	}
	m.old = m.load(a, n)
	var result uint64
	if row.Result != nil {
		result = isa.Eval[uint64](row.Result, m)
	}
	if row.Store != nil {
		m.store(a, isa.Eval[uint64](row.Store, m), n)
	}
	for r := isa.R0; r < isa.NumRegs; r++ {
		if m.in.Def().Has(r) {
			m.regs[r] = result
		}
	}
}

func (m *Machine) clobber(result uint64) {
	for _, r := range slices.Backward([]isa.Reg{isa.R1, isa.R2, isa.R3, isa.R4, isa.R5}) {
		m.regs[r] = m.w.hash(6, uint64(r), uint64(len(m.calls)))
	}
	m.regs[isa.R0] = result
}
