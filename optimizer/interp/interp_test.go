package interp

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

func parse(t testing.TB, text string) *prog.Func {
	t.Helper()
	f, err := prog.ParseFunc(t.Name(), text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// runBoth runs on the generated code and on the term walk.
func runBoth(t testing.TB, f *prog.Func, in *Input) Outcome {
	t.Helper()
	var out [2]Outcome
	for k := range out {
		m := New()
		m.Reference = k == 1
		p, err := m.Load(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		if out[k], err = m.Run(p, in); err != nil {
			t.Fatal(err)
		}
	}
	if ok, why := Equal(&out[0], &out[1], f); !ok {
		t.Fatalf("fast and reference differ: %s", why)
	}
	return out[0]
}

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

func TestCounterInMap(t *testing.T) {
	f := parse(t, `
map hits hash 4 8 16
*(u32 *)(r10 - 4) = 7
r2 = r10
r2 += -4
r1 = map hits ll
call 1
if r0 == 0 goto out
r1 = 1
lock *(u64 *)(r0 + 0) += r1
out:
r0 = 2
exit`)
	out := runBoth(t, f, &Input{Packet: make([]byte, 60), Maps: map[string][]Entry{"hits": {{le32(7), le64(41)}, {le32(8), le64(5)}}}})
	e := out.Maps["hits"]
	if out.R0 != 2 || len(e) != 2 || binary.LittleEndian.Uint64(e[0].Value) != 42 || binary.LittleEndian.Uint64(e[1].Value) != 5 {
		t.Fatalf("%+v", out)
	}
}

func TestPacketPointers(t *testing.T) {
	f := parse(t, `
r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r4 = r2
r4 += 14
r0 = 1
if r4 > r3 goto out
r5 = *(u16 *)(r2 + 12)
r5 = be16 r5
*(u8 *)(r2 + 0) = 255
r0 = r5
out:
exit`)
	pkt := make([]byte, 60)
	pkt[12] = 8
	out := runBoth(t, f, &Input{Packet: pkt})
	if out.R0 != 0x800 || out.Packet[0] != 255 || len(out.Packet) != 60 {
		t.Fatalf("%+v", out)
	}
	if out := runBoth(t, f, &Input{Packet: pkt[:13]}); out.R0 != 1 {
		t.Fatalf("short packet: %+v", out)
	}
}

func TestAdjustHead(t *testing.T) {
	f := parse(t, `
r2 = -8
call 44
if r0 != 0 goto out
r0 = 3
out:
exit`)
	if out := runBoth(t, f, &Input{Packet: make([]byte, 60)}); out.R0 != 3 || len(out.Packet) != 68 || len(out.Trace) != 1 {
		t.Fatalf("%+v", out)
	}
}

func TestFaultsAndLimits(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
	}{
		{"r0 = *(u64 *)(r10 + 0)\nexit", ErrFault},
		{"r0 = *(u64 *)(r10 - 513)\nexit", ErrFault},
		{"r1 = 0\n*(u8 *)(r1 + 0) = 1\nexit", ErrFault},
		{"l:\ngoto l\nexit", ErrSteps},
		{"call 99999\nexit", ErrUnsupported},
		{"call kfunc 3 + 0\nexit", ErrUnsupported},
	} {
		m := New()
		m.Steps = 1000
		p, err := m.Load(parse(t, c.text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = m.Run(p, &Input{}); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.text, err, c.want)
		}
	}
}

func TestSubprogramAndLoop(t *testing.T) {
	body := parse(t, `subprogram 2
r3 = *(u64 *)(r2 + 0)
r3 += r1
*(u64 *)(r2 + 0) = r3
r6 = 9
r0 = 0
exit`)
	f := parse(t, `
*(u64 *)(r10 - 8) = 0
r6 = 5
r1 = 10
r2 = func 0 ll
r3 = r10
r3 += -8
r4 = 0
call 181
r1 = 100
r2 = r10
r2 += -8
call func 0
r0 = *(u64 *)(r10 - 8)
r0 += r6
exit`)
	ref := &prog.Ref{Kind: prog.RefFunc, Name: body.Name + "/body"}
	body.Name = ref.Name
	for k := range f.Insns {
		if row := f.Insns[k].Row(); row.Kind == isa.KindCallFunc || row.Name == "lddw_func" {
			f.Insns[k].Ref = ref
		}
	}
	m := New()
	p, err := m.Load(f, map[string]*prog.Func{ref.Name: body})
	if err != nil {
		t.Fatal(err)
	}
	profile := m.Profile(p)
	out, err := m.Run(p, &Input{})
	if err != nil || out.R0 != 45+100+5 {
		t.Fatalf("%+v %v", out, err)
	}
	if c := p.Counts(profile, ref.Name); c[0] != 11 {
		t.Fatalf("profile %v", c)
	}
}

// A load past the packet's end returns 0 from the function that it is in.
func TestPacketLoadInSubprogram(t *testing.T) {
	body := parse(t, "subprogram 1\nr6 = r1\nr0 = *(u8 *)skb[60]\nr0 = 5\nexit")
	f := parse(t, "type tc\ncall func 0\nr0 += 3\nexit")
	ref := &prog.Ref{Kind: prog.RefFunc, Name: body.Name + "/body"}
	body.Name, f.Insns[0].Ref = ref.Name, ref
	m := New()
	p, err := m.Load(f, map[string]*prog.Func{ref.Name: body})
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]uint64{60: 3, 61: 8} {
		if out, err := m.Run(p, &Input{Packet: make([]byte, size)}); err != nil || out.R0 != want {
			t.Errorf("%d bytes: %+v %v, want %d", size, out, err, want)
		}
	}
}

func TestLongestPrefix(t *testing.T) {
	f := parse(t, `
map routes lpm_trie 8 8 16
*(u32 *)(r10 - 8) = 32
*(u32 *)(r10 - 4) = 0x0301000a
r2 = r10
r2 += -8
r1 = map routes ll
call 1
if r0 == 0 goto out
r0 = *(u64 *)(r0 + 0)
out:
exit`)
	key := func(n uint32, a ...byte) []byte { return append(le32(n), a...) }
	out := runBoth(t, f, &Input{Maps: map[string][]Entry{"routes": {
		{key(8, 10, 0, 0, 0), le64(1)}, {key(24, 10, 0, 1, 0), le64(2)}, {key(25, 10, 0, 1, 128), le64(3)}, {key(0, 0, 0, 0, 0), le64(4)}}}})
	if out.R0 != 2 {
		t.Fatalf("%+v", out)
	}
}

// TestRunsAreRepeatable: a run depends on its input alone.
func TestRunsAreRepeatable(t *testing.T) {
	f := parse(t, "call 7\nr6 = r0\ncall 5\nr0 ^= r6\nexit")
	m := New()
	p, err := m.Load(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for seed := range uint64(20) {
		a, _ := m.Run(p, &Input{Seed: seed})
		b, _ := m.Run(p, &Input{Seed: seed})
		if a.R0 != b.R0 {
			t.Fatal("two runs differ")
		}
		seen[a.R0] = true
	}
	if len(seen) < 19 {
		t.Fatalf("seeds give only %d results", len(seen))
	}
}

// TestRowsAgreeWithTerms holds the generated code against the term walk on
// every computing row over corner values.
func TestRowsAgreeWithTerms(t *testing.T) {
	values := []uint64{0, 1, 2, 31, 32, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 32,
		1<<63 - 1, 1 << 63, ^uint64(0), ^uint64(1), 0xffffffff80000000, 0xffffffff00000000, 0x0123456789abcdef}
	r := rand.New(rand.NewPCG(1, 1))
	m := New()
	for _, row := range isa.Rows() {
		var in isa.Insn
		switch row.Kind {
		case isa.KindALU, isa.KindCondJump:
			in = isa.Insn{Op: row.Op, Dst: 2, Src: 3}
		default:
			continue
		}
		for _, a := range values {
			for _, b := range append(values, r.Uint64()) {
				in.Imm = int64(int32(b))
				f := &prog.Func{Name: row.Name, Insns: []prog.Insn{prog.New(in), prog.New(isa.Insn{Op: isa.LoadImm, Dst: 4, Imm: 1}),
					prog.New(isa.Insn{Op: isa.Exit})}}
				if row.Kind == isa.KindCondJump {
					f.Insns[0].Target = 2
				}
				var regs [2][16]uint64
				for k := range regs {
					m.Reference = k == 1
					p, err := m.Load(f, nil)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := m.Run(p, &Input{Args: []uint64{0, a, b, 0, 0}}); err != nil {
						t.Fatal(err)
					}
					regs[k] = m.r
				}
				if regs[0] != regs[1] {
					t.Fatalf("%s of %#x, %#x: %x and %x", row.Name, a, b, regs[0], regs[1])
				}
			}
		}
	}
}

func BenchmarkRun(b *testing.B) {
	f := parse(b, "r2 = 1000\nl:\nr3 += r2\nr3 *= 7\n*(u64 *)(r10 - 8) = r3\nr4 = *(u32 *)(r10 - 8)\nw4 ^= w3\nr2 += -1\nif r2 != 0 goto l\nr0 = r4\nexit")
	m := New()
	p, err := m.Load(f, nil)
	if err != nil {
		b.Fatal(err)
	}
	steps := 0
	for b.Loop() {
		out, err := m.Run(p, &Input{})
		if err != nil {
			b.Fatal(err)
		}
		steps += out.Steps
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(steps), "ns/insn")
}
