package environ

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// ErrSteps is returned when a run does not end.
var ErrSteps = errors.New("too many steps")

// ErrOpaque is returned where a run meets what has no meaning here: a call that
// may do anything with the frame, or in a first function a byte of the frame
// that was not written, which may be anything.
var ErrOpaque = errors.New("an environment cannot tell what happens next")

// Trace is what a run did that others can see.
type Trace struct {
	Result uint64
	// Calls holds effects in order, each with what it was given and a digest of
	// the memory that it found.
	Calls []Call
	// Memory holds the bytes outside the frame that differ from before.
	Memory []cell
	// Fresh lists the calls that answered something new, such as the time.
	Fresh []asked
}

// asked is a helper and the origin of the instruction that called it.
type asked struct {
	id     int32
	origin int
}

// together reports whether the new things that two runs were told go together:
// they asked alike, or one stopped asking.
func together(t, u []asked) bool {
	if len(t) == len(u) {
		return slices.EqualFunc(t, u, func(a, b asked) bool { return a.id == b.id })
	}
	n := min(len(t), len(u))
	return slices.Equal(t[:n], u[:n])
}

// Differs says how u differs from t, empty when it does not or that cannot be
// told. The result is compared in the low width bits.
func (t *Trace) Differs(u *Trace, width uint8) string {
	if !together(t.Fresh, u.Fresh) {
		return ""
	}
	calls := u.Calls
	for i := range t.Calls {
		for len(calls) > 0 && calls[0].spare && !t.Calls[i].like(&calls[0]) {
			calls = calls[1:]
		}
		if len(calls) == 0 {
			return fmt.Sprintf("%d calls and %d", len(t.Calls), len(u.Calls))
		}
		if !t.Calls[i].like(&calls[0]) {
			return fmt.Sprintf("call %d: %s and %s", i, &t.Calls[i], &calls[0])
		}
		calls = calls[1:]
	}
	for _, c := range calls {
		if !c.spare {
			return fmt.Sprintf("%d calls and %d", len(t.Calls), len(u.Calls))
		}
	}
	switch {
	case !slices.Equal(t.Memory, u.Memory):
		return fmt.Sprintf("memory %s and %s", show(t.Memory), show(u.Memory))
	case low(t.Result, width) != low(u.Result, width):
		return fmt.Sprintf("result %#x and %#x", t.Result, u.Result)
	}
	return ""
}

// show lists bytes by their addresses.
func show(cells []cell) string {
	var b strings.Builder
	b.WriteByte('{')
	for _, c := range cells {
		for k := range uint64(8) {
			if c.mask>>(8*k)&1 == 1 {
				fmt.Fprintf(&b, " %x:%02x", c.at<<3+k, byte(c.val>>(8*k)))
			}
		}
	}
	b.WriteString(" }")
	return b.String()
}

// Machine runs functions; it is to be used again and again. The zero value is
// ready.
type Machine struct {
	isa.Numbers
	w    *World
	p    *Program
	regs [isa.NumRegs]uint64
	// defined are the registers that hold something.
	defined isa.RegSet
	in      *isa.Insn
	old     uint64
	memory
	held    map[string]bool // keys known to be in a map or not
	packet  uint64          // how often the packet changed
	budget  int             // of may_goto
	calls   []Call
	effects uint64 // calls that both functions must have made by now
	fresh   []asked
	strict  bool
	seen    []bool // edges taken, by instruction: fallen through, jumped
}

// Run executes p in w for at most steps instructions. With first, p is what
// another function is held against: what it leaves open ends the run.
func (m *Machine) Run(p *Program, w *World, steps int, first bool) (*Trace, error) {
	m.w, m.p, m.strict = w, p, first
	m.reset(w)
	clear(m.held)
	m.packet, m.budget, m.calls, m.effects, m.fresh = 0, 8, nil, 0, nil
	for r := range m.regs {
		m.regs[r] = w.hash(3, uint64(r)) // what a register holds before it is set
	}
	m.regs[isa.FP] = frameTop
	for r := isa.R1; r <= isa.R5; r++ {
		m.regs[r] = w.argument(r)
	}
	m.defined = p.start
	var caller caller
	for at := 0; ; {
		if steps--; steps < 0 {
			return nil, ErrSteps
		}
		in := &p.F.Insns[at]
		if g := p.body(in); g != nil {
			caller = m.enter(p, g, at+1)
			p, at = g, 0
			continue
		}
		if p.live != nil {
			for r := isa.R0; r < isa.FP; r++ {
				if !p.live[at].Has(r) {
					m.regs[r] = w.hash(13, uint64(steps), uint64(r))
				}
			}
		}
		if in.Row().Kind == isa.KindExit && caller.p != nil {
			p, at = caller.p, caller.at
			m.leave(&caller)
			continue
		}
		if in.Row().Kind == isa.KindExit {
			return m.trace(m.regs[isa.R0]), nil
		}
		jump, end, err := m.step(in, at)
		switch {
		case err != nil:
			return nil, err
		case end:
			return m.trace(0), nil
		}
		m.defined |= in.Def()
		if in.IsCall() || in.Row().Kind == isa.KindLoadPacket {
			m.defined &^= isa.ArgRegs
		}
		if m.seen != nil && caller.p == nil {
			m.seen[2*at+int(truth(jump))] = true
		}
		if jump {
			at = in.Target
		} else {
			at++
		}
	}
}

// caller is what is kept of the function that another was entered from.
type caller struct {
	p       *Program
	at      int
	regs    [isa.NumRegs]uint64
	defined isa.RegSet
}

// enter goes from p into the body g, with its own frame.
func (m *Machine) enter(p, g *Program, at int) caller {
	c := caller{p, at, m.regs, m.defined}
	m.p = g
	for r := range m.regs {
		if !isa.ArgRegs.Has(isa.Reg(r)) {
			m.regs[r] = m.w.hash(14, uint64(r))
		}
	}
	m.regs[isa.FP] = frameTop - isa.StackSize
	m.defined = m.defined&isa.ArgRegs | isa.RegSet(0).With(isa.FP)
	return c
}

// leave goes back.
func (m *Machine) leave(c *caller) {
	m.p = c.p
	for r := isa.R6; r <= isa.FP; r++ {
		m.regs[r] = c.regs[r]
	}
	for r := isa.R1; r <= isa.R5; r++ {
		m.regs[r] = m.w.hash(6, uint64(r), uint64(len(m.calls)))
	}
	m.defined = c.defined&^isa.ArgRegs.With(isa.R0) | m.defined&isa.RegSet(0).With(isa.R0)
	m.memory.leave()
	*c = caller{}
}

func (m *Machine) trace(result uint64) *Trace {
	return &Trace{Result: result, Calls: m.calls, Memory: m.changes(), Fresh: m.fresh}
}

func (m *Machine) start() uint64 { return packetAt + m.packet*packetStep }

func (m *Machine) step(in *prog.Insn, at int) (jump, end bool, err error) {
	row := in.Row()
	i := in.Insn
	if in.Patched() {
		h := m.w.hash(4, m.p.name(in.Ref), uint64(in.Ref.Kind))
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
		if start, ok := contextPointer(m.p.F.Type, a-contextAt, int(row.Width/8)); ok {
			m.regs[i.Dst] = m.start()
			if !start {
				m.regs[i.Dst] += m.w.size
			}
			break
		}
		if m.strict && !m.initialized(a, int(row.Width/8)) {
			return false, false, ErrOpaque
		}
		m.old = m.load(a, int(row.Width/8))
		m.regs[i.Dst] = isa.Eval[uint64](row.Result, m)
	case isa.KindStore:
		m.store(m.regs[i.Dst]+off, isa.Eval[uint64](row.Store, m), int(row.Width/8))
	case isa.KindAtomic:
		return false, false, m.atomic(row, off)
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
		return false, false, m.call(in, at)
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
		return symbolsAt + m.p.name(r)
	case r.Kind == prog.RefMapValue || r.Kind == prog.RefKconfig:
		return mapAt(m.p.name(r)) + uint64(r.Off)
	}
	return m.w.hash(5, m.p.name(r), uint64(r.Kind), uint64(r.Off))
}

func (m *Machine) atomic(row *isa.Row, off uint64) error {
	base := m.in.Dst
	if row.Fn == isa.FnLoadAcq {
		base = m.in.Src
	}
	a, n := m.regs[base]+off, int(row.Width/8)
	if m.strict && !m.initialized(a, n) {
		return ErrOpaque
	}
	if !inFrame(a) {
		c := Call{Name: row.Name, spare: m.p.o.PlainAtomics && row.ReadModifyWrite()}
		c.number(a)
		c.number(low(m.regs[m.in.Src], row.Width))
		m.effect(&c)
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
	return nil
}

func (m *Machine) clobber(result uint64) {
	for _, r := range slices.Backward([]isa.Reg{isa.R1, isa.R2, isa.R3, isa.R4, isa.R5}) {
		m.regs[r] = m.w.hash(6, uint64(r), m.effects)
	}
	m.regs[isa.R0] = result
}
