package loader

import "encoding/binary"

// Slot is an encoded instruction, for the few programs that measurements bring
// along: generators, counters.
type Slot [8]byte

// Encode makes a slot of an instruction's fields.
func Encode(op, dst, src uint8, off int16, imm int32) Slot {
	var s Slot
	s[0], s[1] = op, dst|src<<4
	binary.LittleEndian.PutUint16(s[2:], uint16(off))
	binary.LittleEndian.PutUint32(s[4:], uint32(imm))
	return s
}

// Code puts slots together for LoadRaw.
func Code(list ...Slot) []byte {
	var b []byte
	for _, s := range list {
		b = append(b, s[:]...)
	}
	return b
}
