package isa

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// sample makes a valid instruction of a row.
func sample(r *rand.Rand, row *Row) (Insn, int) {
	in := Insn{Op: row.Op}
	if row.usesDst() {
		in.Dst = Reg(r.IntN(NumRegs))
	}
	if row.usesSrc() {
		in.Src = Reg(r.IntN(NumRegs))
	}
	if row.usesOff() && !row.HasOff {
		in.Off = int16(r.Uint32())
	}
	if row.usesImm() && !row.HasImm {
		in.Imm = int64(int32(r.Uint32()))
		if row.Kind == KindLoadImm {
			in.Imm = int64(r.Uint64())
		}
	}
	dist := 0
	switch row.Kind {
	case KindJump, KindCondJump, KindMayGoto:
		dist = 1 + r.IntN(1000)
	case KindCallFunc:
		dist = int(in.Imm)
	}
	return in, dist
}

func TestEveryRowRoundTrips(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, row := range Rows() {
		for range 50 {
			in, dist := sample(r, &row)
			for _, bo := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
				raw, err := Encode(in, dist)
				if err != nil {
					t.Fatalf("%s: %v", row.Name, err)
				}
				b := raw.Append(nil, bo)
				back, n, err := ReadRaw(b, bo)
				if err != nil || n != len(b) || n != 8*int(row.Slots) {
					t.Fatalf("%s: %v, %d of %d bytes", row.Name, err, n, len(b))
				}
				got, d, err := Decode(back)
				if err != nil || got != in || d != dist {
					t.Fatalf("%s: encoded %+v %d, decoded %+v %d, %v", row.Name, in, dist, got, d, err)
				}
			}
			text := Format(in, "L1")
			got, target, err := Parse(text)
			if err != nil || got != in || (target == "L1") != in.IsJump() {
				t.Fatalf("%s: %q parsed as %+v %q, want %+v (%v)", row.Name, text, got, target, in, err)
			}
		}
	}
}

func TestReservedFieldsAreRefused(t *testing.T) {
	for _, raw := range []Raw{
		{Code: 0xb7, Src: 3},          // mov with a source register
		{Code: 0xbf, Imm: 1},          // register move with an immediate
		{Code: 0x07, Off: 4},          // add with an offset
		{Code: 0x95, Imm: 1},          // exit with an immediate
		{Code: 0x05, Off: 3, Dst: 1},  // goto with a register
		{Code: 0xff},                  // no such opcode
		{Code: 0xdb, Imm: 0x77},       // no such atomic
		{Code: 0xb7, Dst: 11},         // no such register
		{Code: 0xd4, Imm: 24},         // no such swap
		{Code: 0xbf, Src: 1, Off: 24}, // no such sign extension
	} {
		if in, _, err := Decode(raw); err == nil {
			t.Errorf("%+v was decoded as %s", raw, Format(in, ""))
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0xb7, 0, 0, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		raw, n, err := ReadRaw(b, binary.LittleEndian)
		if err != nil {
			return
		}
		in, dist, err := Decode(raw)
		if err != nil {
			return
		}
		back, err := Encode(in, dist)
		if err != nil {
			t.Fatal(err)
		}
		if got := back.Append(nil, binary.LittleEndian); string(got) != string(b[:n]) {
			t.Fatalf("% x decoded as %s encodes as % x", b[:n], Format(in, ""), got)
		}
	})
}
