package interp

import (
	"encoding/binary"

	"github.com/superbpf/superbpf/optimizer/prog"
)

const (
	eNOMEM = -12
	eACCES = -13
	eFAULT = -14

	// frameBytes at the start of the headroom belong to the kernel
	// (sizeof(struct xdp_frame)).
	frameBytes = 40

	ethLen = 14
)

func redirect(m *Machine, a [5]uint64) (int64, error) {
	if m.p.Entry.Type == prog.TypeXDP {
		if a[1] != 0 {
			return 0, nil // XDP_ABORTED
		}
		return 4, nil // XDP_REDIRECT
	}
	if a[1]&^1 != 0 {
		return 2, nil // TC_ACT_SHOT
	}
	return 7, nil // TC_ACT_REDIRECT
}

// redirectMap looks the key up; the lower two flag bits are the answer for an
// absent one. Bits 3 and 4 are broadcast flags of device maps.
func redirectMap(m *Machine, a [5]uint64) (int64, error) {
	s, err := m.mapOf(a[0])
	if err != nil {
		return 0, err
	}
	allowed := uint64(3)
	if s.def.Type == prog.MapDevMap || s.def.Type == prog.MapDevMapHash {
		allowed |= 0x18
	}
	if a[2]&^allowed != 0 {
		return 0, nil
	}
	key := binary.LittleEndian.AppendUint32(nil, uint32(a[1]))
	if _, ok := s.slots[string(key)]; !ok && a[2]&8 == 0 {
		return int64(a[2] & 3), nil
	}
	return 4, nil
}

func adjustHead(m *Machine, a [5]uint64) (int64, error) {
	c := &m.ctx
	metaLen := c.data - c.meta
	data := int64(c.data) + int64(int32(a[1]))
	if data < int64(frameBytes+metaLen) || data > int64(c.end)-ethLen {
		return eINVAL, nil
	}
	p := m.data[regPacket]
	copy(p[data-int64(metaLen):data], p[c.meta:c.data])
	c.data, c.meta = uint64(data), uint64(data)-metaLen
	return 0, nil
}

func adjustMeta(m *Machine, a [5]uint64) (int64, error) {
	c := &m.ctx
	meta := int64(c.meta) + int64(int32(a[1]))
	n := int64(c.data) - meta
	if meta < frameBytes || n < 0 {
		return eINVAL, nil
	}
	if n%4 != 0 || n > 252 {
		return eACCES, nil
	}
	c.meta = uint64(meta)
	return 0, nil
}

func adjustTail(m *Machine, a [5]uint64) (int64, error) {
	c := &m.ctx
	p := m.data[regPacket]
	end := int64(c.end) + int64(int32(a[1]))
	if end > int64(len(p)) || end < int64(c.data)+ethLen {
		return eINVAL, nil
	}
	if end > int64(c.end) {
		clear(p[c.end:end])
	}
	c.end = uint64(end)
	return 0, nil
}

// packet returns n bytes at offset off of the packet, or nil.
func (m *Machine) packet(off, n uint64) []byte {
	if off+n > m.ctx.end-m.ctx.data {
		return nil
	}
	return m.data[regPacket][m.ctx.data+off:][:n]
}

func xdpCopy(m *Machine, a [5]uint64) (pkt, mem []byte, code int64, err error) {
	off, n := uint64(uint32(a[1])), uint64(uint32(a[3]))
	if off > 0xffff || n > 0xffff {
		return nil, nil, eFAULT, nil
	}
	if mem = m.bytes(a[2], n); mem == nil && n > 0 {
		return nil, nil, 0, ErrFault
	}
	if pkt = m.packet(off, n); pkt == nil && n > 0 {
		return nil, nil, eINVAL, nil
	}
	return pkt, mem, 0, nil
}

func xdpLoad(m *Machine, a [5]uint64) (int64, error) {
	pkt, mem, code, err := xdpCopy(m, a)
	if code == 0 && err == nil {
		copy(mem, pkt)
	}
	return code, err
}

func xdpStore(m *Machine, a [5]uint64) (int64, error) {
	pkt, mem, code, err := xdpCopy(m, a)
	if code == 0 && err == nil {
		copy(pkt, mem)
	}
	return code, err
}

func skbLoad(m *Machine, a [5]uint64) (int64, error) {
	off, n := uint64(uint32(a[1])), uint64(uint32(a[3]))
	mem := m.bytes(a[2], n)
	if mem == nil && n > 0 {
		return 0, ErrFault
	}
	pkt := m.packet(off, n)
	if off > 0x7fffffff || pkt == nil {
		clear(mem)
		return eFAULT, nil
	}
	copy(mem, pkt)
	return 0, nil
}

func skbStore(m *Machine, a [5]uint64) (int64, error) {
	off, n := uint64(uint32(a[1])), uint64(uint32(a[3]))
	mem := m.bytes(a[2], n)
	if mem == nil && n > 0 {
		return 0, ErrFault
	}
	if a[4]&^3 != 0 { // BPF_F_RECOMPUTE_CSUM, BPF_F_INVALIDATE_HASH
		return eINVAL, nil
	}
	pkt := m.packet(off, n)
	if off > 0x7fffffff || pkt == nil {
		return eFAULT, nil
	}
	copy(pkt, mem)
	return 0, nil
}

func pullData(m *Machine, a [5]uint64) (int64, error) {
	if uint64(uint32(a[1])) > m.ctx.end-m.ctx.data {
		return eNOMEM, nil
	}
	return 0, nil
}

// One's complement arithmetic as the kernel does it (include/net/checksum.h):
// zero has two forms, and which one comes out can be seen.

func add32(a, b uint32) uint32 {
	s := uint64(a) + uint64(b)
	return uint32(s) + uint32(s>>32)
}

// fold is csum_from32to16.
func fold(s uint32) uint16 {
	s = s&0xffff + s>>16
	return uint16(s + s>>16)
}

// partial is csum_partial over a multiple of four bytes.
func partial(b []byte, s uint32) uint32 {
	for ; len(b) >= 4; b = b[4:] {
		s = add32(s, binary.LittleEndian.Uint32(b))
	}
	return s
}

// replaced is the checksum after a word changed (RFC 1624).
func replaced(check uint16, from, to uint64) uint16 {
	return ^fold(add32(add32(^uint32(check), ^uint32(from)), uint32(to)))
}

// replaced16 is csum_replace2, which stays within 16 bits.
func replaced16(check, from, to uint16) uint16 {
	add := func(a, b uint16) uint16 {
		s := uint32(a) + uint32(b)
		return uint16(s) + uint16(s>>16)
	}
	return ^add(add(^check, ^from), to)
}

// byDiff is csum_replace_by_diff.
func byDiff(check uint16, diff uint64) uint16 { return ^fold(add32(uint32(diff), ^uint32(check))) }

func l3Replace(m *Machine, a [5]uint64) (int64, error) {
	off := uint64(uint32(a[1]))
	if a[4]&^0xf != 0 {
		return eINVAL, nil
	}
	b := m.packet(off, 2)
	if off > 0xffff || off&1 != 0 || b == nil {
		return eFAULT, nil
	}
	old := binary.LittleEndian.Uint16(b)
	var v uint16
	switch a[4] & 0xf {
	case 0:
		if a[2] != 0 {
			return eINVAL, nil
		}
		v = byDiff(old, a[3])
	case 2:
		v = replaced16(old, uint16(a[2]), uint16(a[3]))
	case 4:
		v = replaced(old, a[2], a[3])
	default:
		return eINVAL, nil
	}
	binary.LittleEndian.PutUint16(b, v)
	return 0, nil
}

// l4Replace is bpf_l4_csum_replace for packets whose checksum the device does
// not compute.
func l4Replace(m *Machine, a [5]uint64) (int64, error) {
	const pseudo, markMangled, enforce, ipv6 = 0x10, 0x20, 0x40, 0x80
	off := uint64(uint32(a[1]))
	if a[4]&^(0xf|pseudo|markMangled|enforce|ipv6) != 0 {
		return eINVAL, nil
	}
	b := m.packet(off, 2)
	if off > 0xffff || off&1 != 0 || b == nil {
		return eFAULT, nil
	}
	old := binary.LittleEndian.Uint16(b)
	if a[4]&markMangled != 0 && a[4]&enforce == 0 && old == 0 {
		return 0, nil
	}
	var v uint16
	switch a[4] & 0xf {
	case 0:
		if a[2] != 0 {
			return eINVAL, nil
		}
		v = byDiff(old, a[3])
	case 2:
		v = replaced(old, a[2]&0xffff, a[3]&0xffff)
	case 4:
		v = replaced(old, a[2], a[3])
	default:
		return eINVAL, nil
	}
	if a[4]&markMangled != 0 && v == 0 {
		v = 0xffff
	}
	binary.LittleEndian.PutUint16(b, v)
	return 0, nil
}

func csumDiff(m *Machine, a [5]uint64) (int64, error) {
	nf, nt := uint64(uint32(a[1])), uint64(uint32(a[3]))
	if (nf|nt)&3 != 0 {
		return eINVAL, nil
	}
	from, to := m.bytes(a[0], nf), m.bytes(a[2], nt)
	if nf > 0 && from == nil || nt > 0 && to == nil {
		return 0, ErrFault
	}
	s := uint32(a[4])
	switch {
	case nf > 0 && nt > 0:
		s = add32(partial(to, s), ^partial(from, 0))
	case nt > 0:
		s = partial(to, s)
	case nf > 0:
		s = ^partial(from, ^s)
	}
	return int64(fold(s)), nil
}

// fibLookup answers from the seed and the question: mostly a route, with a next
// hop's interface and addresses (struct bpf_fib_lookup).
func fibLookup(m *Machine, a [5]uint64) (int64, error) {
	n := uint64(uint32(a[2]))
	if n < 64 {
		return eINVAL, nil
	}
	p := m.bytes(a[1], n)
	if p == nil {
		return 0, ErrFault
	}
	h := mix(m.in.Seed, uint64(len(p)))
	for k := 0; k < 48; k += 8 {
		h = mix(h, binary.LittleEndian.Uint64(p[k:]))
	}
	if h%4 == 0 {
		return int64(1 + h>>8%8), nil // BPF_FIB_LKUP_RET_BLACKHOLE to FRAG_NEEDED
	}
	binary.LittleEndian.PutUint16(p[6:], 1500)
	binary.LittleEndian.PutUint32(p[8:], uint32(1+h>>16%4))
	binary.LittleEndian.PutUint32(p[48:], 0)
	for k := range 12 { // source and destination MAC
		p[52+k] = byte(mix(h, uint64(k)))
	}
	return 0, nil
}
