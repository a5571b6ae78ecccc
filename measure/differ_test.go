package measure

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
)

// counting makes an XDP program that counts packets in a map by their first
// byte; extra instructions run with r6 = context, r7 = packet, r8 = the value
// (8 bytes, a multiple of 1), and the verdict in r0.
func counting(name string, mapType uint32, extra ...kerneltest.Insn) Subject {
	return Subject{Name: name, Hash: name, Load: func() (*Instance, error) {
		m, err := loader.NewRawMap(mapType, 4, 16, 256)
		if err != nil {
			return nil, err
		}
		raw := kerneltest.Raw
		insns := []kerneltest.Insn{
			kerneltest.MovReg(6, 1),
			raw(0x61, 7, 1, 0, 0), // r7 = data
			raw(0x61, 3, 1, 4, 0), // r3 = data_end
			kerneltest.MovReg(2, 7),
			kerneltest.Add(2, 14),
			kerneltest.Mov(0, 2),
			raw(0xbd, 2, 3, 1, 0), // if r2 <= r3 go on
			kerneltest.Exit,
			raw(0x71, 2, 7, 0, 0),   // r2 = first byte
			raw(0x63, 10, 2, -4, 0), // the key
			kerneltest.MovReg(2, 10), kerneltest.Add(2, -4),
		}
		insns = append(insns, kerneltest.MapFD(1, m.FD())...)
		insns = append(insns,
			kerneltest.Call(1), // map_lookup_elem
			kerneltest.MovReg(8, 0),
			kerneltest.Mov(0, 2),
			raw(0x55, 8, 0, 1, 0), // if r8 != 0 go on
			kerneltest.Exit,
			kerneltest.Mov(1, 1),
			raw(0xdb, 8, 1, 0, 0), // lock *(u64 *)r8 += 1
		)
		insns = append(append(insns, extra...), kerneltest.Exit)
		p, err := loader.LoadRaw(kerneltest.XDP, kerneltest.Insns(insns...), loader.RawOptions{Name: name})
		if err != nil {
			m.Close()
			return nil, err
		}
		view, err := loader.NewMapView(m.FD(), "counts")
		if err != nil {
			return nil, err
		}
		return &Instance{FD: p.FD(), Maps: []Map{view}, Close: func() error { p.Close(); return m.Close() }}, nil
	}}
}

func randomInputs(n int) []Input {
	rng := rand.New(rand.NewPCG(7, 7))
	in := make([]Input, n)
	for i := range in {
		in[i].Data = make([]byte, 14+rng.IntN(100))
		for j := range in[i].Data {
			in[i].Data[j] = byte(rng.Uint32())
		}
	}
	return in
}

func TestDifferFinds(t *testing.T) {
	kerneltest.Require(t)
	raw := kerneltest.Raw
	onFirstByte := func(insns ...kerneltest.Insn) []kerneltest.Insn {
		return append([]kerneltest.Insn{
			raw(0x71, 1, 7, 0, 0),                  // r1 = first byte
			raw(0x55, 1, 0, int16(len(insns)), 77), // unless it is 77 skip
		}, insns...)
	}
	ktime := []kerneltest.Insn{kerneltest.Call(5), raw(0x7b, 8, 0, 8, 0), kerneltest.Mov(0, 2)}
	const array = 2
	for _, c := range []struct {
		name string
		a, b []kerneltest.Insn
		what string // "" for no difference
		mask string
	}{
		{name: "equal"},
		{name: "return", b: onFirstByte(kerneltest.Mov(0, 1)), what: "return value"},
		{name: "packet", b: onFirstByte(raw(0x72, 7, 0, 13, 0x55)), what: "packet"},
		{name: "map alone", b: onFirstByte(raw(0x72, 8, 0, 9, 1)), what: "map counts"},
		{name: "length", b: onFirstByte(kerneltest.MovReg(1, 6), kerneltest.Mov(2, 4), kerneltest.Call(44), kerneltest.Mov(0, 2)), what: "packet length"},
		{name: "times", a: ktime, b: ktime, mask: "map counts: bytes 8"},
		{name: "times and a difference", a: ktime, b: append(onFirstByte(raw(0x72, 8, 0, 7, 1)), ktime...), what: "map counts", mask: "map counts: bytes 8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := randomInputs(3000)
			r, err := Differ(context.Background(), counting("a", array, c.a...), counting("b", array, c.b...), DifferOptions{Inputs: in})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d runs, %d dumps, masked %q: %v", r.Runs, r.MapDumps, r.Masked, r.Difference)
			if !strings.Contains(strings.Join(r.Masked, "\n"), c.mask) {
				t.Errorf("masked %q, want %q", r.Masked, c.mask)
			}
			if c.what == "" {
				if r.Difference != nil {
					t.Errorf("found %v", r.Difference)
				}
				return
			}
			if r.Difference == nil || r.Difference.What != c.what {
				t.Fatalf("found %v, want %s", r.Difference, c.what)
			}
			if first := in[r.Difference.Input].Data[0]; first != 77 {
				t.Errorf("blames input %d, which starts with %d", r.Difference.Input, first)
			}
		})
	}
}

// A program that draws a random bit on one input differs from itself half the
// time, and agrees with itself as often.
func TestDifferChance(t *testing.T) {
	kerneltest.Require(t)
	draw := []kerneltest.Insn{kerneltest.Call(7), kerneltest.Raw(0x57, 0, 0, 0, 1)}
	in := randomInputs(1)
	for range 24 {
		r, err := Differ(context.Background(), counting("a", 2, draw...), counting("b", 2, draw...), DifferOptions{Inputs: in})
		if err != nil {
			t.Fatal(err)
		}
		if r.Difference != nil {
			t.Fatalf("takes chance for a difference: %v", r.Difference)
		}
	}
}

// A program that lost its map must not hide what the other writes there.
func TestDifferMissingMap(t *testing.T) {
	kerneltest.Require(t)
	without := subject("without", kerneltest.XDP, kerneltest.Mov(0, 2), kerneltest.Exit)
	for _, order := range [][2]Subject{{counting("a", 2), without}, {without, counting("b", 2)}} {
		r, err := Differ(context.Background(), order[0], order[1], DifferOptions{Inputs: randomInputs(100)})
		if err != nil {
			t.Fatal(err)
		}
		if r.Difference == nil || r.Difference.What != "map counts" || r.Difference.Input != 0 {
			t.Errorf("found %v", r.Difference)
		}
	}
}

// Hash maps list equal contents in different orders.
func TestDifferHashMaps(t *testing.T) {
	kerneltest.Require(t)
	const hash, update = 1, 2
	inserting := func(value int32) Subject {
		return Subject{Name: "insert", Load: func() (*Instance, error) {
			m, err := loader.NewRawMap(hash, 4, 8, 4096)
			if err != nil {
				return nil, err
			}
			raw := kerneltest.Raw
			insns := []kerneltest.Insn{
				raw(0x61, 7, 1, 0, 0), raw(0x61, 3, 1, 4, 0),
				kerneltest.MovReg(2, 7), kerneltest.Add(2, 14), kerneltest.Mov(0, 2),
				raw(0xbd, 2, 3, 1, 0), kerneltest.Exit,
				raw(0x69, 2, 7, 0, 0), raw(0x63, 10, 2, -4, 0),
				raw(0x7a, 10, 0, -16, value),
				kerneltest.MovReg(2, 10), kerneltest.Add(2, -4),
				kerneltest.MovReg(3, 10), kerneltest.Add(3, -16),
				kerneltest.Mov(4, 0),
			}
			insns = append(insns, kerneltest.MapFD(1, m.FD())...)
			insns = append(insns, kerneltest.Call(update), kerneltest.Mov(0, 2), kerneltest.Exit)
			p, err := loader.LoadRaw(kerneltest.XDP, kerneltest.Insns(insns...), loader.RawOptions{})
			if err != nil {
				return nil, err
			}
			view, err := loader.NewMapView(m.FD(), "flows")
			return &Instance{FD: p.FD(), Maps: []Map{view}, Close: func() error { p.Close(); return m.Close() }}, err
		}}
	}
	r, err := Differ(context.Background(), inserting(1), inserting(1), DifferOptions{Inputs: randomInputs(2000)})
	if err != nil || r.Difference != nil || len(r.Masked) != 0 {
		t.Errorf("equal: %v, %+v", err, r)
	}
	r, err = Differ(context.Background(), inserting(1), inserting(2), DifferOptions{Inputs: randomInputs(2000)})
	if err != nil || r.Difference == nil || r.Difference.What != "map flows" {
		t.Errorf("different: %v, %+v", err, r)
	}
}

// A raw tracepoint gets contexts; on inputs that it cannot run on, nothing is
// proved.
func TestDifferRawTracepoint(t *testing.T) {
	kerneltest.Require(t)
	const rawTracepoint = 17
	raw := kerneltest.Raw
	// Returns the low bit of the second argument, or its second bit.
	bit := func(n int32) Subject {
		return subject("bit", rawTracepoint, raw(0x79, 0, 1, 8, 0), raw(0x77, 0, 0, 0, n), raw(0x57, 0, 0, 0, 1), kerneltest.Exit)
	}
	in, err := InputsFor(bit(0), make([][]byte, 200), 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Differ(context.Background(), bit(0), bit(0), DifferOptions{Inputs: in})
	if err != nil || r.Difference != nil || len(r.Returns) != 2 {
		t.Errorf("equal: %v, %+v", err, r)
	}
	r, err = Differ(context.Background(), bit(0), bit(1), DifferOptions{Inputs: in})
	if err != nil || r.Difference == nil {
		t.Errorf("different: %v, %+v", err, r)
	}
	if _, err := Differ(context.Background(), bit(0), bit(0), DifferOptions{Inputs: randomInputs(5)}); err == nil {
		t.Error("no error though nothing ran")
	}
	l, err := Latency(context.Background(), bit(0), []Subject{bit(1)}, brief(LatencyOptions{Inputs: in[:1]}))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("floor %.1f, %+v", l.Floor, l.Rivals)
	if !l.Fresh[0] {
		t.Error("the type takes no repeat count")
	}
}

func BenchmarkDiffer(b *testing.B) {
	kerneltest.Require(b)
	in := randomInputs(100_000)
	for b.Loop() {
		start := time.Now()
		r, err := Differ(context.Background(), counting("a", 2), counting("b", 2), DifferOptions{Inputs: in})
		if err != nil || r.Difference != nil {
			b.Fatal(err, r)
		}
		b.ReportMetric(float64(len(in))/time.Since(start).Seconds(), "packets/s")
		b.ReportMetric(float64(r.MapDumps), "dumps")
	}
}
