package slice

import (
	"testing"

	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// The largest slice of the last root takes a load in unless something between may
// write what it reads, or its address is gone.
func TestLoadsInSlices(t *testing.T) {
	const packet = "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 14\nif r4 > r3 goto out\n"
	const end = "\nout:\nr0 = 1\nexit"
	for _, c := range []struct{ name, code, want string }{
		{"bytes", "r5 = *(u8 *)(r2 + 13)\nr5 <<= 8\nr6 = *(u8 *)(r2 + 12)\nr6 |= r5\nif r6 != 8 goto out", "jne64(or64r(ldx8(a, 12), lsh64(ldx8(a, 13), 8)), 8)"},
		{"a store elsewhere", "r5 = *(u8 *)(r2 + 13)\n*(u32 *)(r10 - 8) = 1\nif r5 != 8 goto out", "jne64(ldx8(a, 13), 8)"},
		{"a store there", "r5 = *(u8 *)(r2 + 13)\n*(u8 *)(r2 + 13) = 1\nif r5 != 8 goto out", "jne64(a, 8)"},
		{"a store beside", "r6 = *(u8 *)(r2 + 0)\n*(u64 *)(r10 - 8) = r6\nr5 = *(u32 *)(r10 - 8)\n*(u32 *)(r10 - 16) = 2\nif r5 != 8 goto out", "jne64(ldx32(a, -8), 8)"},
		{"a store across", "r6 = *(u8 *)(r2 + 0)\n*(u64 *)(r10 - 8) = r6\nr5 = *(u32 *)(r10 - 8)\n*(u16 *)(r10 - 6) = 2\nif r5 != 8 goto out", "jne64(a, 8)"},
		{"a call", "r7 = *(u8 *)(r2 + 13)\ncall get_prandom_u32\nif r7 != 8 goto out", "jne64(a, 8)"},
		{"an atomic", "r5 = *(u8 *)(r2 + 13)\nr6 = 1\n*(u64 *)(r10 - 8) = r6\nlock *(u64 *)(r10 - 8) += r6\nif r5 != 8 goto out", "jne64(a, 8)"},
		{"the address is gone", "r5 = *(u8 *)(r2 + 13)\nr2 = 0\nif r5 != 8 goto out", "jne64(a, 8)"},
		{"the context", "r5 = *(u32 *)(r1 + 12)\nif r5 != 8 goto out", "jne64(a, 8)"},
		{"an address", "r2 += 4\nr5 = *(u8 *)(r2 + 2)\nif r5 != 8 goto out", "jne64(ldx8(add64(a, 4), 2), 8)"},
		{"a store of a constant", "r5 = 7\n*(u8 *)(r2 + 2) = r5", "stx8(a, 7, 2)"},
		{"a store of an immediate", "r2 += 4\n*(u8 *)(r2 + 2) = -1", "stx8(add64(a, 4), -1, 2)"},
		{"a copy", "r5 = *(u8 *)(r2 + 13)\n*(u8 *)(r2 + 2) = r5", "stx8(a, ldx8(a, 13), 2)"},
	} {
		f, err := prog.ParseFunc(c.name, packet+c.code+end)
		if err != nil {
			t.Fatal(err)
		}
		last := len(f.Insns) - 3
		got := ""
		for _, s := range Find(f) {
			if s.Root == last && len(s.Term.String()) > len(got) {
				got = s.Term.String()
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A store writes a constant itself, and takes its slice's address and offset.
func TestStoresAreLowered(t *testing.T) {
	for text, want := range map[string]string{
		"stx16(a, 7, 2)":                   "*(u16 *)(r1 + 2) = 7",
		"stx16(a, b, -2)":                  "*(u16 *)(r1 - 2) = r2",
		"stx64(a, 6000000000, 0)":          "r0 = 6000000000 ll|*(u64 *)(r1 + 0) = r0",
		"stx32(add64(a, 8), 1, 0)":         "r1 += 8|*(u32 *)(r1 + 0) = 1",
		"stx8(a, ldx8(a, 3), 0)":           "r0 = *(u8 *)(r1 + 3)|*(u8 *)(r1 + 0) = r0",
		"stx8(a, and64(ldx8(b, 3), 1), 0)": "r0 = *(u8 *)(r2 + 3)|r0 &= 1|*(u8 *)(r1 + 0) = r0",
	} {
		term, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		s := &Site{Term: term, In: []isa.Reg{isa.R1, isa.R2}, Free: isa.Regs(isa.R0, isa.R1), Slots: 9}
		got := ""
		for _, in := range s.Lower(&term, 4) {
			if got != "" {
				got += "|"
			}
			got += isa.Format(in, "")
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// Loads that meet agree on the bytes that they share, and what was put into memory
// is read.
func TestMemoryIsBytes(t *testing.T) {
	var a interp.Lanes
	for i := range a {
		a[i] = uint64(1000 * i)
	}
	m := new(Memory)
	m.Put(3, 3005, 2, 0xbeef)
	load := func(w uint8, off int64) (out interp.Lanes) {
		m.Access(isa.Load(w, false), off, &a, &out)
		return out
	}
	wide, low, high := load(64, 0), load(32, 0), load(32, 4)
	for i := range wide {
		if wide[i] != low[i]|high[i]<<32 {
			t.Errorf("state %d: %x is not %x and %x", i, wide[i], high[i], low[i])
		}
	}
	if x := load(16, 5); x[3] != 0xbeef || x[2] == 0xbeef {
		t.Errorf("read %x", x)
	}
}

// Stores are equal that leave the same bytes at the same places.
func TestWhatStoresWrite(t *testing.T) {
	run := func(text string, a, b uint64) uint64 {
		x, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		in := make([]interp.Lanes, 2)
		in[0][0], in[1][0] = a, b
		return x.Run(in, nil, make([]interp.Lanes, len(x.Nodes)))[0]
	}
	for _, c := range []struct {
		a, b  string
		b1    uint64
		equal bool
	}{
		{"stx8(a, b, 4)", "stx8(add64(a, 4), b, 0)", 0x1ff, true},
		{"stx8(a, b, 4)", "stx8(a, b, 5)", 0x1ff, false},
		{"stx8(a, b, 4)", "stx8(a, add64(b, 256), 4)", 0x1ff, true},
		{"then(stx8(a, b, 4), stx8(a, rsh64(b, 8), 5))", "stx16(a, b, 4)", 0x1234, true},
		{"then(stx8(a, rsh64(b, 8), 5), stx8(a, b, 4))", "stx16(a, b, 4)", 0x1234, true},
		{"then(stx8(a, rsh64(b, 8), 4), stx8(a, b, 5))", "stx16(a, b, 4)", 0x1234, false},
		{"then(stx8(a, 0, 4), stx16(a, b, 4))", "stx16(a, b, 4)", 0x1234, true},
		{"then(stx16(a, b, 4), stx8(a, 0, 4))", "stx16(a, b, 4)", 0x1234, false},
	} {
		if got := run(c.a, 1<<20, c.b1) == run(c.b, 1<<20, c.b1); got != c.equal {
			t.Errorf("%s and %s: equal is %v", c.a, c.b, got)
		}
	}
}
