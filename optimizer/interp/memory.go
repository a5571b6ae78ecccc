package interp

import "encoding/binary"

// Addresses look like kernel pointers: a fixed upper part, the region's index in
// the next bits, the offset in the lower 32.
const addrBase = 0xffff_8800_0000_0000

func regionAddr(index int) uint64 { return addrBase + uint64(index)<<32 }

// The first regions of a machine. The context has no bytes in memory.data:
// accesses to it take the slow path, which turns its pointer fields into
// pointers.
const (
	regCtx = iota
	regPacket
	regStack // one per call depth
	regMaps  = regStack + maxFrames
)

const maxFrames = 8

// undo is one entry of the write journal.
type undo struct {
	addr, old uint64
	width     uint8 // bytes
}

type memory struct {
	data    [][]byte
	journal []undo
	log     bool // keep the journal
	ctx     *context
}

// at returns n bytes of a region, or nil when they are not all inside.
func (m *memory) at(a, n uint64) []byte {
	a -= addrBase
	i, o := a>>32, a&0xffff_ffff
	if i >= uint64(len(m.data)) || o+n > uint64(len(m.data[i])) {
		return nil
	}
	return m.data[i][o : o+n]
}

// bytes is at for helpers: the context counts as memory too.
func (m *memory) bytes(a, n uint64) []byte {
	if b := m.at(a, n); b != nil || n == 0 {
		return b
	}
	if m.ctx != nil && a-regionAddr(regCtx)+n <= uint64(len(m.ctx.bytes)) {
		return m.ctx.bytes[a-regionAddr(regCtx):][:n]
	}
	return nil
}

func (m *memory) load8(a uint64) (uint64, bool) {
	if b := m.at(a, 1); b != nil {
		return uint64(b[0]), true
	}
	return m.ctx.load(a, 1)
}

func (m *memory) load16(a uint64) (uint64, bool) {
	if b := m.at(a, 2); b != nil {
		return uint64(binary.LittleEndian.Uint16(b)), true
	}
	return m.ctx.load(a, 2)
}

func (m *memory) load32(a uint64) (uint64, bool) {
	if b := m.at(a, 4); b != nil {
		return uint64(binary.LittleEndian.Uint32(b)), true
	}
	return m.ctx.load(a, 4)
}

func (m *memory) load64(a uint64) (uint64, bool) {
	if b := m.at(a, 8); b != nil {
		return binary.LittleEndian.Uint64(b), true
	}
	return m.ctx.load(a, 8)
}

func (m *memory) store8(a, v uint64) bool {
	b := m.at(a, 1)
	if b == nil {
		return m.ctx.store(a, v, 1)
	}
	if m.log {
		m.journal = append(m.journal, undo{a, uint64(b[0]), 1})
	}
	b[0] = byte(v)
	return true
}

func (m *memory) store16(a, v uint64) bool {
	b := m.at(a, 2)
	if b == nil {
		return m.ctx.store(a, v, 2)
	}
	if m.log {
		m.journal = append(m.journal, undo{a, uint64(binary.LittleEndian.Uint16(b)), 2})
	}
	binary.LittleEndian.PutUint16(b, uint16(v))
	return true
}

func (m *memory) store32(a, v uint64) bool {
	b := m.at(a, 4)
	if b == nil {
		return m.ctx.store(a, v, 4)
	}
	if m.log {
		m.journal = append(m.journal, undo{a, uint64(binary.LittleEndian.Uint32(b)), 4})
	}
	binary.LittleEndian.PutUint32(b, uint32(v))
	return true
}

func (m *memory) store64(a, v uint64) bool {
	b := m.at(a, 8)
	if b == nil {
		return m.ctx.store(a, v, 8)
	}
	if m.log {
		m.journal = append(m.journal, undo{a, binary.LittleEndian.Uint64(b), 8})
	}
	binary.LittleEndian.PutUint64(b, v)
	return true
}

// rollback undoes all journalled writes, the newest first.
func (m *memory) rollback() {
	for k := len(m.journal) - 1; k >= 0; k-- {
		u := &m.journal[k]
		putLE(m.at(u.addr, uint64(u.width)), u.old)
	}
	m.journal = m.journal[:0]
}

func getLE(b []byte) (v uint64) {
	for k := len(b) - 1; k >= 0; k-- {
		v = v<<8 | uint64(b[k])
	}
	return v
}

func putLE(b []byte, v uint64) {
	for k := range b {
		b[k] = byte(v)
		v >>= 8
	}
}
