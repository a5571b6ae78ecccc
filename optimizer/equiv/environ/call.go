package environ

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxBuffer bounds the bytes behind a pointer that a helper is given.
const maxBuffer = 4096

// Call is one effect: what was called, and with what.
type Call struct {
	Name  string
	given []given
	found uint64 // a digest of the memory
	sum   uint64 // of all of it
	open  bool   // an argument may be anything
	spare bool   // may be there without the other function having it
}

// given is an argument: a number, or bytes that a pointer led to.
type given struct {
	number uint64
	bytes  []byte
	frame  bool
	open   bool // a register that holds nothing
}

func (c *Call) number(v uint64) {
	c.given = append(c.given, given{number: v})
	c.sum = mix(c.sum+1, v)
}

// nothing adds an argument that was not set: the helper does not look at it.
func (c *Call) nothing() {
	c.given = append(c.given, given{open: true})
	c.open = true
}

// like reports whether d may stand for c.
func (c *Call) like(d *Call) bool {
	if c.sum == d.sum {
		return true
	}
	return c.open && c.Name == d.Name && c.found == d.found && slices.EqualFunc(c.given, d.given, func(a, b given) bool {
		return a.open || a.number == b.number && a.frame == b.frame && a.open == b.open && bytes.Equal(a.bytes, b.bytes)
	})
}

// data adds bytes read, in the frame or elsewhere.
func (c *Call) data(b []byte) {
	c.given = append(c.given, given{bytes: b, frame: true})
	c.sum = mix(c.sum+2, hashBytes(b))
}

func (c *Call) String() string {
	var s strings.Builder
	s.WriteString(c.Name)
	for _, g := range c.given {
		if g.open {
			s.WriteString(" nothing")
		} else if g.frame {
			fmt.Fprintf(&s, " [%x]", g.bytes)
		} else {
			fmt.Fprintf(&s, " %#x", g.number)
		}
	}
	return s.String()
}

// effect adds a call with the memory that it finds.
func (m *Machine) effect(c *Call) {
	c.found = m.digest()
	c.sum = mix(mix(c.sum, name(c.Name)), c.found)
	m.calls = append(m.calls, *c)
	if !c.spare { // else what comes after would tell that it is there
		m.effects++
	}
}

// call executes a call. An effect is written down with its arguments; a
// pointer to bytes of known number counts by what it points at, for the frame
// may be laid out differently.
func (m *Machine) call(in *prog.Insn, at int) error {
	h := isa.HelperOf(int32(in.Imm))
	if in.Row().Kind != isa.KindCallHelper || !h.Known {
		return m.unknown(in)
	}
	var mp *prog.Map
	c := Call{Name: h.Name, sum: uint64(h.ID)}
	var key, value []byte
	type buffer struct{ at, n uint64 }
	var out []buffer
	for i, kind := range h.Args {
		v := m.regs[isa.R1+isa.Reg(i)]
		next := uint64(0)
		if i+1 < len(h.Args) {
			next = min(m.regs[isa.R2+isa.Reg(i)], maxBuffer)
		}
		reads := uint64(0)
		switch kind {
		case isa.ArgNone:
			continue
		case isa.ArgMap:
			mp = m.p.maps[v]
		case isa.ArgMapKey:
			if mp != nil {
				reads = uint64(mp.KeySize)
			}
		case isa.ArgMapValue:
			if mp != nil {
				reads = uint64(mp.ValueSize)
			}
		case isa.ArgMemRead:
			reads = next
		case isa.ArgMemRW:
			reads = next
			out = append(out, buffer{v, next / 2}) // some are left as they were
		case isa.ArgMemWrite:
			out = append(out, buffer{v, next})
		case isa.ArgMemWriteFixed:
			out = append(out, buffer{v, uint64(h.FixedSize)})
		case isa.ArgPtr:
			if inFrame(v) {
				return ErrOpaque
			}
		}
		if reads > 0 || inFrame(v) {
			if m.strict && !m.initialized(v, int(reads)) && kind != isa.ArgMemRW {
				return ErrOpaque
			}
			b := m.copyOf(v, reads)
			c.data(b)
			switch kind {
			case isa.ArgMapKey:
				key = b
			case isa.ArgMapValue:
				value = b
			}
		} else if kind == isa.ArgScalar && !m.defined.Has(isa.R1+isa.Reg(i)) {
			c.nothing()
		} else {
			c.number(v)
		}
	}
	var result uint64
	switch {
	case h.Purity == isa.PureConst:
		result = m.w.value(m.w.hash(7, c.sum))
	case h.Purity == isa.PureState && h.MapValue:
		result = m.element(mp, key)
	case h.Purity == isa.PureState:
		result = m.w.value(m.w.hash(8, c.sum, m.packet))
	case h.Droppable():
		// How often time or chance is asked nobody sees, only what is made of the
		// answers.
		if !m.p.unseen[at] {
			m.fresh = append(m.fresh, asked{h.ID, in.Origin})
		}
		result = m.w.value(m.w.hash(12, uint64(len(m.fresh))))
	default:
		m.effect(&c)
		result = m.w.value(m.w.hash(9, m.effects))
	}
	if h.Bits > 0 {
		result &= 1<<h.Bits - 1
	}
	for k, b := range out {
		// What is written does not depend on where.
		for i := uint64(0); i < b.n; i += 8 {
			m.store(b.at+i, m.w.initial(m.w.hash(10, uint64(k), i), 1<<63|m.effects), int(min(8, b.n-i)))
		}
	}
	switch {
	case h.ID == 2 && mp != nil:
		m.hold(mp, key, true)
		if at := m.element(mp, key); at != 0 {
			for i, b := range value {
				m.setByte(at+uint64(i), b)
			}
		}
	case h.ID == 3 && mp != nil && mp.Type != prog.MapArray && mp.Type != prog.MapPerCPUArray:
		m.hold(mp, key, false)
	}
	if h.ChangesPacket {
		m.packet++
	}
	m.clobber(result)
	return nil
}

func (m *Machine) hold(mp *prog.Map, key []byte, in bool) {
	if m.held == nil {
		m.held = map[string]bool{}
	}
	m.held[mp.Name+string(key)] = in
}

func (m *Machine) copyOf(at, n uint64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = m.byteAt(at + uint64(i))
	}
	return b
}

// element is where a key's value lies, 0 when the map does not hold the key.
func (m *Machine) element(mp *prog.Map, key []byte) uint64 {
	if mp == nil {
		return 0
	}
	size := uint64(mp.ValueSize+7) &^ 7
	if mp.Type == prog.MapArray || mp.Type == prog.MapPerCPUArray {
		if len(key) != 4 {
			return 0
		}
		k := uint64(key[0]) | uint64(key[1])<<8 | uint64(key[2])<<16 | uint64(key[3])<<24
		if k >= uint64(mp.MaxEntries) {
			return 0
		}
		return mapAt(name(mp.Name)) + k*size
	}
	n := name(mp.Name)
	h := m.w.hash(11, n, hashBytes(key))
	held, known := false, false
	if m.held != nil {
		held, known = m.held[mp.Name+string(key)]
	}
	if !known {
		held = h&3 != 0
	}
	if !held {
		return 0
	}
	return elementAt(mapAt(n), h>>8)
}

// unknown executes a call without a model: it sees its arguments and all
// memory outside the frame, and leaves all of it changed. What it makes of the
// frame nobody can tell.
func (m *Machine) unknown(in *prog.Insn) error {
	c := Call{Name: in.Row().Name, sum: uint64(in.Imm)}
	reads, ok := isa.ArgRegs, false
	switch {
	case in.Row().Kind == isa.KindCallHelper:
		h := isa.HelperOf(int32(in.Imm))
		c.Name += " " + h.Name
		reads, ok = isa.HelperArgs(int32(in.Imm)), h.Name != ""
	case in.Ref != nil && m.p.o.Reads != nil:
		c.Name += " " + in.Ref.Name
		reads, ok = m.p.o.Reads(in)
	}
	if !ok {
		return ErrOpaque
	}
	for r := isa.R1; r <= isa.R5; r++ {
		switch {
		case !reads.Has(r):
		case !m.defined.Has(r):
			c.nothing()
		default:
			if v := m.regs[r]; inFrame(v) || v == frameTop {
				return ErrOpaque
			}
			c.number(m.regs[r])
		}
	}
	m.effect(&c)
	m.renew(m.effects)
	m.clobber(m.w.value(m.w.hash(9, m.effects)))
	return nil
}

func hashBytes(b []byte) uint64 {
	h := uint64(len(b))
	for len(b) >= 8 {
		h = mix(h, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	for _, x := range b {
		h = mix(h, uint64(x))
	}
	return h
}
