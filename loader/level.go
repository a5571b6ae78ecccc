package loader

import "golang.org/x/sys/unix"

// levelProbes use what each instruction set level after the first brought, as
// clang's -mcpu counts levels: v2 JLT, v3 JMP32 and fetching atomics, v4
// sign-extending moves and loads, signed division, bswap and gotol.
var levelProbes = [][]byte{
	insns(
		0xb7, 0, 0, 1, // r0 = 1
		0xa5, 0, 0, 2, // if r0 < 2 goto +0
		0x95, 0, 0, 0), // exit
	insns(
		0xb7, 0, 0, 1,
		0x7a, 0x0a, -8, 0, // *(u64 *)(r10 - 8) = 0
		0xb7, 0x01, 0, 1, // r1 = 1
		0xdb, 0x1a, -8, 1, // r1 = atomic_fetch_add((u64 *)(r10 - 8), r1)
		0x16, 0, 0, 1, // if w0 == 1 goto +0
		0x95, 0, 0, 0),
	insns(
		0xb7, 0, 0, 1,
		0x7a, 0x0a, -8, 0,
		0x91, 0xa1, -8, 0, // r1 = *(s8 *)(r10 - 8)
		0xbf, 0x11, 8, 0, // r1 = (s8)r1
		0x37, 0x01, 1, 3, // r1 s/= 3
		0xd7, 0x01, 0, 16, // r1 = bswap16 r1
		0x06, 0, 0, 0, // gotol +0
		0x95, 0, 0, 0),
}

// insns encodes slots of opcode, registers (source in the upper half), offset
// and immediate.
func insns(f ...int) []byte {
	var b []byte
	for ; len(f) > 0; f = f[4:] {
		off, imm := uint16(f[2]), uint32(f[3])
		b = append(b, byte(f[0]), byte(f[1]), byte(off), byte(off>>8), byte(imm), byte(imm>>8), byte(imm>>16), byte(imm>>24))
	}
	return b
}

// Level is the newest instruction set level, 1 to 4 as in clang's -mcpu, that
// the running kernel loads; 0 if it loads nothing, for want of privilege.
func Level() int {
	level := 0
	for _, p := range append([][]byte{insns(0xb7, 0, 0, 1, 0x95, 0, 0, 0)}, levelProbes...) {
		r, err := LoadRaw(unix.BPF_PROG_TYPE_SOCKET_FILTER, p, RawOptions{})
		if err != nil {
			break
		}
		r.Close()
		level++
	}
	return level
}
