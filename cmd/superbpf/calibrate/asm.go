package calibrate

import (
	"encoding/binary"
	"fmt"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// code is a program under construction; to holds the jump target of each
// instruction by index, -1 for none.
type code struct {
	insns []isa.Insn
	to    []int
}

func (c *code) add(insns ...isa.Insn) {
	for _, in := range insns {
		c.insns, c.to = append(c.insns, in), append(c.to, -1)
	}
}

func (c *code) jump(in isa.Insn, to int) {
	c.insns, c.to = append(c.insns, in), append(c.to, to)
}

// bytes encodes the program; jumps and calls to the target `end` go to the
// index end.
func (c *code) bytes(end int) ([]byte, error) {
	at := make([]int, len(c.insns)+1)
	for k := range c.insns {
		at[k+1] = at[k] + int(c.insns[k].Row().Slots)
	}
	var out []byte
	for k, in := range c.insns {
		dist := 0
		if t := c.to[k]; t == toEnd {
			dist = at[end] - at[k+1]
		} else if t >= 0 {
			dist = at[t] - at[k+1]
		}
		raw, err := isa.Encode(in, dist)
		if err != nil {
			return nil, err
		}
		out = raw.Append(out, binary.LittleEndian)
	}
	return out, nil
}

// toEnd stands for the end of the run as a jump target.
const toEnd = -2

// asm reads instructions without jumps; the text is the package's own.
func asm(lines ...string) []isa.Insn {
	var out []isa.Insn
	for _, l := range lines {
		in, _, err := isa.Parse(l)
		if err != nil {
			panic(fmt.Sprintf("calibrate: %q: %v", l, err))
		}
		out = append(out, in)
	}
	return out
}

// Stack layout of every probe: 64 bytes that loads and stores use, below them a
// zero key.
const (
	workBytes = 64
	keyAt     = -workBytes - 8
)

// begin sets all registers and the stack to values that the verifier does not
// know: r6 is the context, r7 the packet's length, r8 the mark (zero), r9 the
// priority (zero), the others the length. An XDP program has numbers of its
// context that mean little instead.
func begin(c *code, xdp bool) {
	if xdp {
		c.add(asm("r6 = r1", "r7 = *(u32 *)(r6 + 12)", "r8 = *(u32 *)(r6 + 16)", "r9 = *(u32 *)(r6 + 16)")...)
	} else {
		c.add(asm("r6 = r1", "r7 = *(u32 *)(r6 + 0)", "r8 = *(u32 *)(r6 + 8)", "r9 = *(u32 *)(r6 + 32)")...)
	}
	for o := 8; o <= workBytes; o += 8 {
		c.add(asm(fmt.Sprintf("*(u64 *)(r10 - %d) = r7", o))...)
	}
	c.add(asm(fmt.Sprintf("*(u64 *)(r10 - %d) = 0", -keyAt), "r0 = r7", "r1 = r7", "r2 = r7", "r3 = r7", "r4 = r7", "r5 = r7")...)
}
