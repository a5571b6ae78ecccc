package interp

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// helperFunc carries out a helper; a is r1 to r5.
type helperFunc func(m *Machine, a [5]uint64) (int64, error)

// models are the helpers whose result is computed. Errors follow
// net/core/filter.c and kernel/bpf/helpers.c of Linux 6.18.
var models map[int32]helperFunc

func init() {
	models = map[int32]helperFunc{
		1: lookup, 2: update, 3: remove, 87: push,
		195: func(m *Machine, a [5]uint64) (int64, error) {
			if a[2] != 0 { // one CPU
				return 0, nil
			}
			return lookup(m, a)
		},
		5: clock, 125: clock, 160: clock, 208: clock, 118: clock,
		7: func(m *Machine, _ [5]uint64) (int64, error) {
			return int64(uint32(mix(m.in.Seed, m.calls[7]^0x72616e64))), nil
		},
		8:   func(*Machine, [5]uint64) (int64, error) { return 0, nil },
		42:  func(*Machine, [5]uint64) (int64, error) { return 0, nil },
		4:   probeRead(false),
		112: probeRead(false),
		113: probeRead(false),
		45:  probeRead(true),
		114: probeRead(true),
		115: probeRead(true),
		12:  tailCall,
		23:  redirect,
		51:  redirectMap,
		181: loop,
		93:  func(*Machine, [5]uint64) (int64, error) { return 0, nil },
		94:  func(*Machine, [5]uint64) (int64, error) { return 0, nil },
		44:  adjustHead, 54: adjustMeta, 65: adjustTail,
		188: func(m *Machine, _ [5]uint64) (int64, error) { return int64(m.ctx.end - m.ctx.data), nil },
		189: xdpLoad, 190: xdpStore,
		26: skbLoad, 9: skbStore, 39: pullData,
		10: l3Replace, 11: l4Replace, 28: csumDiff,
		69: fibLookup,
	}
}

// call runs helper id with the arguments in r1 to r5.
func (m *Machine) call(id int32) error {
	h := isa.HelperOf(id)
	f := models[id]
	if !h.Known && f == nil {
		return fmt.Errorf("helper %d: %w", id, ErrUnsupported)
	}
	var a [5]uint64
	copy(a[:], m.r[1:6])
	if h.Purity == isa.PureNone && h.Known {
		if err := m.record(h, a); err != nil {
			return err
		}
	}
	if f == nil {
		f = answer(h)
	}
	v, err := f(m, a)
	if err != nil {
		return fmt.Errorf("helper %d: %w", id, err)
	}
	m.calls[id]++
	m.r[0] = uint64(v)
	m.clobber()
	return nil
}

// record lists a call with an effect in the trace.
func (m *Machine) record(h *isa.Helper, a [5]uint64) error {
	e := Event{Helper: h.ID}
	for k, kind := range h.Args {
		n := uint64(0)
		switch kind {
		case isa.ArgNone:
			continue
		case isa.ArgScalar, isa.ArgSize:
			e.Args[k] = a[k]
			continue
		case isa.ArgMap:
			s, err := m.mapOf(a[k])
			if err != nil {
				return err
			}
			e.Bytes = append(append(e.Bytes, s.def.Name...), 0)
			continue
		case isa.ArgMapKey, isa.ArgMapValue:
			s, err := m.mapOf(a[slices.Index(h.Args[:], isa.ArgMap)])
			if err != nil {
				return err
			}
			n = uint64(s.def.KeySize)
			if kind == isa.ArgMapValue {
				n = uint64(s.def.ValueSize)
			}
		case isa.ArgMemRead, isa.ArgMemRW:
			n = uint64(uint32(a[k+1]))
		default:
			continue
		}
		b := m.bytes(a[k], n)
		if n > 0 && b == nil {
			return ErrFault
		}
		e.Bytes = append(e.Bytes, b...)
	}
	switch h.ID {
	case 25, 111, 121: // the upper half of the flags asks for that many packet bytes
		n := min(a[2]>>32&0xfffff, m.ctx.end-m.ctx.data)
		e.Bytes = append(e.Bytes, m.packet(0, n)...)
	}
	m.trace = append(m.trace, e)
	return nil
}

func (m *Machine) mapOf(handle uint64) (*mapState, error) {
	k := (handle - handleBase) >> 12
	if handle < handleBase || k >= uint64(len(m.byID)) {
		return nil, ErrFault
	}
	return m.byID[k], nil
}

// answer is the model of a helper of which only the row is known: it may write
// the memory that its arguments name; it returns 0, or sometimes an error.
func answer(h *isa.Helper) helperFunc {
	return func(m *Machine, a [5]uint64) (int64, error) {
		if h.RetPtr || h.ChangesPacket || h.WritesPacket || h.WritesMaps {
			return 0, fmt.Errorf("%s: %w", h.Name, ErrUnsupported)
		}
		seed := mix(m.in.Seed, uint64(h.ID))
		if h.Purity != isa.PureConst {
			seed = mix(seed, m.calls[h.ID])
		}
		for k, kind := range h.Args {
			switch kind {
			case isa.ArgMemWrite, isa.ArgMemRW:
				if err := m.fill(a[k], uint64(uint32(a[k+1])), seed); err != nil {
					return 0, err
				}
			case isa.ArgMemWriteFixed:
				if err := m.fill(a[k], uint64(h.FixedSize), seed); err != nil {
					return 0, err
				}
			case isa.ArgFunc:
				return 0, fmt.Errorf("%s: %w", h.Name, ErrUnsupported)
			}
		}
		if h.Purity == isa.PureConst {
			return int64(seed >> 8), nil
		}
		if seed%8 == 0 {
			return eINVAL, nil
		}
		return 0, nil
	}
}

// fill writes n bytes drawn from seed.
func (m *Machine) fill(a, n, seed uint64) error {
	b := m.bytes(a, n)
	if b == nil && n > 0 {
		return ErrFault
	}
	for k := range b {
		b[k] = byte(mix(seed, uint64(k)) >> 11)
	}
	return nil
}

// key returns the map of r1 and the bytes of the key at r2.
func (m *Machine) key(a [5]uint64) (*mapState, []byte, error) {
	s, err := m.mapOf(a[0])
	if err != nil {
		return nil, nil, err
	}
	k := m.bytes(a[1], uint64(s.def.KeySize))
	if k == nil && s.def.KeySize > 0 {
		return nil, nil, ErrFault
	}
	return s, k, nil
}

func lookup(m *Machine, a [5]uint64) (int64, error) {
	s, k, err := m.key(a)
	if err != nil {
		return 0, err
	}
	slot, ok := s.find(&m.memory, k)
	if !ok {
		return 0, nil
	}
	if t := s.def.Type; t == prog.MapArrayOfMaps || t == prog.MapHashOfMaps {
		return 0, fmt.Errorf("map in map: %w", ErrUnsupported)
	}
	return int64(s.addr(slot)), nil
}

func update(m *Machine, a [5]uint64) (int64, error) {
	s, k, err := m.key(a)
	if err != nil {
		return 0, err
	}
	v := m.bytes(a[2], uint64(s.def.ValueSize))
	if v == nil {
		return 0, ErrFault
	}
	// The value may lie in the map itself, whose region may move.
	return s.update(&m.memory, k, append([]byte(nil), v...), a[3]), nil
}

func remove(m *Machine, a [5]uint64) (int64, error) {
	s, k, err := m.key(a)
	if err != nil {
		return 0, err
	}
	return s.remove(k), nil
}

func push(m *Machine, a [5]uint64) (int64, error) {
	s, err := m.mapOf(a[0])
	if err != nil {
		return 0, err
	}
	v := m.bytes(a[1], uint64(s.def.ValueSize))
	if s.def.Type != prog.MapQueue || v == nil || a[2] > 2 {
		return 0, ErrUnsupported
	}
	if len(s.queue) >= int(s.def.MaxEntries) {
		if a[2] != 2 {
			return e2BIG, nil
		}
		s.queue = s.queue[1:]
	}
	s.queue = append(s.queue, append([]byte(nil), v...))
	return 0, nil
}

func clock(m *Machine, _ [5]uint64) (int64, error) {
	m.clock += 1 + mix(m.in.Seed, m.clock)%1000
	return int64(m.clock), nil
}

// probeRead reads the machine's own memory, and elsewhere bytes that depend on
// the address alone.
func probeRead(str bool) helperFunc {
	return func(m *Machine, a [5]uint64) (int64, error) {
		n := uint64(uint32(a[1]))
		dst := m.bytes(a[0], n)
		if dst == nil && n > 0 {
			return 0, ErrFault
		}
		src := m.bytes(a[2], n)
		for k := range dst {
			if src != nil {
				dst[k] = src[k]
			} else {
				dst[k] = byte(mix(m.in.Seed, a[2]+uint64(k)) >> 7)
			}
			if str && (dst[k] == 0 || k == len(dst)-1) {
				dst[k] = 0
				return int64(k + 1), nil
			}
		}
		return 0, nil
	}
}

// tailCall leaves the program when the slot holds a program.
func tailCall(m *Machine, a [5]uint64) (int64, error) {
	s, err := m.mapOf(a[1])
	if err != nil {
		return 0, err
	}
	key := binary.LittleEndian.AppendUint32(nil, uint32(a[2]))
	_, m.tail = s.slots[string(key)]
	return eINVAL, nil
}

// loop is bpf_loop: at most 1<<23 calls of the callback, until it returns 1.
func loop(m *Machine, a [5]uint64) (int64, error) {
	n := uint64(uint32(a[0]))
	if a[3] != 0 {
		return eINVAL, nil
	}
	if n > 1<<23 {
		return e2BIG, nil
	}
	for k := uint64(0); k < n; k++ {
		v, err := m.callback(a[1], k, a[2])
		if err != nil {
			return 0, err
		}
		if v != 0 {
			return int64(k + 1), nil
		}
	}
	return int64(n), nil
}
