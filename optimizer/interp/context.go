package interp

import (
	"encoding/binary"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// Headroom and tailroom of a packet in bytes: what XDP leaves before the frame
// (XDP_PACKET_HEADROOM) and what a test run leaves behind it.
const (
	headroom = 256
	tailroom = 320
)

// context is the program's argument. Its packet pointers are not stored in the
// bytes: loads of these fields compute them.
type context struct {
	bytes           []byte
	meta, data, end uint64 // offsets in the packet region
	fMeta, fData    int    // offsets of the pointer fields, -1 for none
	fEnd            int
	lenAt           int  // offset of the length field, -1 for none
	frozen          bool // stores fault: a window keeps no journal of them
}

// init prepares the context for a program type.
func (c *context) init(t prog.Type, in *Input) {
	n := len(in.Packet)
	c.meta, c.data, c.end = headroom, headroom, uint64(headroom+n)
	c.fMeta, c.fData, c.fEnd, c.lenAt = -1, -1, -1, -1
	size := len(in.Ctx)
	switch t {
	case prog.TypeXDP: // struct xdp_md
		c.fData, c.fEnd, c.fMeta = 0, 4, 8
		size = max(size, 24)
	case prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeCgroupSKB, prog.TypeLWTIn, prog.TypeLWTOut, prog.TypeLWTXmit,
		prog.TypeSocketFilter, prog.TypeSKSKB: // struct __sk_buff
		c.lenAt, c.fData, c.fEnd, c.fMeta = 0, 76, 80, 140
		size = max(size, 192)
	default:
		size = max(size, 8)
	}
	if cap(c.bytes) < size {
		c.bytes = make([]byte, size)
	}
	c.bytes = c.bytes[:size]
	clear(c.bytes)
	copy(c.bytes, in.Ctx)
	c.sync()
	if c.fData >= 0 {
		for _, f := range []int{c.fMeta, c.fData, c.fEnd} {
			clear(c.bytes[f : f+4])
		}
	}
}

// sync writes the packet's length into its field.
func (c *context) sync() {
	if c.lenAt >= 0 {
		binary.LittleEndian.PutUint32(c.bytes[c.lenAt:], uint32(c.end-c.data))
	}
}

func (c *context) load(a uint64, n int) (uint64, bool) {
	if c == nil {
		return 0, false
	}
	o := a - regionAddr(regCtx)
	if o+uint64(n) > uint64(len(c.bytes)) || o > uint64(len(c.bytes)) {
		return 0, false
	}
	if n == 4 && c.fData >= 0 {
		switch int(o) {
		case c.fData:
			return regionAddr(regPacket) + c.data, true
		case c.fEnd:
			return regionAddr(regPacket) + c.end, true
		case c.fMeta:
			return regionAddr(regPacket) + c.meta, true
		}
	}
	return getLE(c.bytes[o : o+uint64(n)]), true
}

func (c *context) store(a, v uint64, n int) bool {
	if c == nil || c.frozen {
		return false
	}
	o := a - regionAddr(regCtx)
	if o+uint64(n) > uint64(len(c.bytes)) || o > uint64(len(c.bytes)) {
		return false
	}
	putLE(c.bytes[o:o+uint64(n)], v)
	return true
}
