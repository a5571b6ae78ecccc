package environ

import (
	"fmt"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxBuffer bounds the bytes behind a pointer that a helper is given.
const maxBuffer = 4096

// call executes a call. An effect is written down with its arguments; a
// pointer to bytes of known number counts by what it points at, for the frame
// may be laid out differently.
func (m *Machine) call(in *prog.Insn) {
	h := isa.HelperOf(int32(in.Imm))
	if in.Row().Kind != isa.KindCallHelper || !h.Known {
		m.unknown(in)
		return
	}
	var mp *prog.Map
	var text strings.Builder
	fmt.Fprintf(&text, "%s", h.Name)
	var key, value []byte
	type buffer struct{ at, n uint64 }
	var out []buffer
	for i, kind := range h.Args {
		v := m.regs[isa.R1+isa.Reg(i)]
		next := uint64(0)
		if i+1 < len(h.Args) {
			next = min(m.regs[isa.R2+isa.Reg(i)], maxBuffer)
		}
		var read []byte
		switch kind {
		case isa.ArgNone:
			continue
		case isa.ArgMap:
			mp = m.mapOf(v)
		case isa.ArgMapKey:
			if mp != nil {
				key = m.copyOf(v, uint64(mp.KeySize))
				read = key
			}
		case isa.ArgMapValue:
			if mp != nil {
				value = m.copyOf(v, uint64(mp.ValueSize))
				read = value
			}
		case isa.ArgMemRead:
			read = m.copyOf(v, next)
		case isa.ArgMemRW:
			read = m.copyOf(v, next)
			out = append(out, buffer{v, next / 2}) // some are left as they were
		case isa.ArgMemWrite:
			out = append(out, buffer{v, next})
		case isa.ArgMemWriteFixed:
			out = append(out, buffer{v, uint64(h.FixedSize)})
		}
		if read != nil || inFrame(v) && kind != isa.ArgPtr {
			fmt.Fprintf(&text, " [%x]", read)
		} else {
			fmt.Fprintf(&text, " %#x", v)
		}
	}
	id := name(text.String())
	var result uint64
	switch h.Purity {
	case isa.PureConst:
		result = m.w.value(m.w.hash(7, id))
	case isa.PureState:
		result = m.w.value(m.w.hash(8, id, m.packet))
		if h.MapValue {
			result = m.element(mp, key)
		}
	default:
		fmt.Fprintf(&text, " memory %x", m.digest())
		m.calls = append(m.calls, text.String())
		result = m.w.value(m.w.hash(9, uint64(len(m.calls))))
	}
	for k, b := range out {
		for i := range b.n {
			m.bytes[b.at+i] = m.w.initial(b.at+i, m.w.hash(10, uint64(len(m.calls)), uint64(k))|1<<63)
		}
	}
	switch {
	case h.ID == 2 && mp != nil:
		m.held[mp.Name+string(key)] = true
		if at := m.element(mp, key); at != 0 {
			for i, b := range value {
				m.bytes[at+uint64(i)] = b
			}
		}
	case h.ID == 3 && mp != nil && mp.Type != prog.MapArray && mp.Type != prog.MapPerCPUArray:
		m.held[mp.Name+string(key)] = false
	}
	if h.ChangesPacket {
		m.packet++
	}
	m.clobber(result)
}

func (m *Machine) copyOf(at, n uint64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = m.byteAt(at + uint64(i))
	}
	return b
}

// mapOf finds the map at an address that the function can name.
func (m *Machine) mapOf(at uint64) *prog.Map {
	for k := range m.f.Insns {
		if r := m.f.Insns[k].Ref; r != nil && r.Kind == prog.RefMap && symbolsAt+name(r.Name) == at {
			return r.Map
		}
	}
	return nil
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
		return mapAt(mp.Name) + k%64*size
	}
	h := m.w.hash(11, name(mp.Name), name(string(key)))
	held, known := m.held[mp.Name+string(key)]
	if !known {
		held = h&3 != 0
	}
	if !held {
		return 0
	}
	return mapAt(mp.Name) + h>>8%64*size
}

// unknown executes a call without a model: it sees its arguments and all
// memory, and leaves all of it changed.
func (m *Machine) unknown(in *prog.Insn) {
	text := fmt.Sprintf("%s %d", in.Row().Name, in.Imm)
	if in.Ref != nil {
		text += " " + in.Ref.Name
	}
	reads := isa.ArgRegs
	if in.Row().Kind == isa.KindCallHelper {
		reads = isa.HelperArgs(int32(in.Imm))
	}
	for r := isa.R1; r <= isa.R5; r++ {
		if reads.Has(r) {
			text += fmt.Sprintf(" %#x", m.regs[r])
		}
	}
	m.calls = append(m.calls, fmt.Sprintf("%s memory %x", text, m.digest()))
	frame := false
	for r := isa.R1; r <= isa.R5; r++ {
		frame = frame || inFrame(m.regs[r]) || m.regs[r] == frameTop
	}
	for a := range m.bytes {
		if !inFrame(a) {
			delete(m.bytes, a)
		}
	}
	m.epoch = uint64(len(m.calls))
	for a := uint64(frameTop - isa.StackSize); frame && a < frameTop; a++ {
		m.bytes[a] = m.w.initial(a, m.epoch)
	}
	m.clobber(m.w.value(m.w.hash(9, uint64(len(m.calls)))))
}
