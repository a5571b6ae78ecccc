package interp

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
)

func insns(t testing.TB, text string) []isa.Insn {
	f := parse(t, text+"\nexit")
	var out []isa.Insn
	for _, in := range f.Insns[:len(f.Insns)-1] {
		out = append(out, in.Insn)
	}
	return out
}

func randomStates(n int) []*State {
	r := rand.New(rand.NewPCG(3, 4))
	var out []*State
	for range n {
		var regs [isa.NumRegs]uint64
		for k := range regs {
			regs[k] = r.Uint64() >> r.IntN(64)
		}
		stack := make([]byte, isa.StackSize)
		for k := range stack {
			stack[k] = byte(r.Uint32())
		}
		out = append(out, StackState(regs, stack))
	}
	return out
}

func TestWindowScores(t *testing.T) {
	const original = "r1 = 5\n*(u32 *)(r10 - 8) = r1\n*(u32 *)(r10 - 4) = 0\nr2 <<= 32\nr2 >>= 32\nr3 = 7"
	for _, c := range []struct {
		name, text string
		equal      bool
	}{
		{"itself", original, true},
		{"one store", "*(u64 *)(r10 - 8) = 5\nw2 = w2", true},
		{"dead byte written", "*(u64 *)(r10 - 8) = 5\nw2 = w2\n*(u8 *)(r10 - 512) = 1", true},
		{"written and put back", "r4 = *(u8 *)(r10 - 16)\n*(u8 *)(r10 - 16) = 1\n*(u8 *)(r10 - 16) = r4\n*(u64 *)(r10 - 8) = 5\nw2 = w2", true},
		{"wrong register", "*(u64 *)(r10 - 8) = 5\nr2 <<= 32", false},
		{"wrong byte", "*(u64 *)(r10 - 8) = 6\nw2 = w2", false},
		{"byte too many", "*(u64 *)(r10 - 8) = 5\nw2 = w2\n*(u8 *)(r10 - 9) = 1", false},
		{"missing store", "w2 = w2", false},
		{"fault", "*(u64 *)(r10 - 8) = 5\nw2 = w2\nr3 = *(u8 *)(r10 + 0)", false},
	} {
		contract := Contract{Live: isa.Regs(isa.R2)}
		contract.DeadStack[0] = true
		w, err := NewWindow(insns(t, original), contract, randomStates(16))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // scoring leaves no trace
			s, err := w.Score(insns(t, c.text), math.MaxInt)
			if err != nil || s.Equal != c.equal || (s.Bits == 0) != c.equal {
				t.Errorf("%s: %+v %v", c.name, s, err)
			}
		}
	}
}

// TestHarvest: states taken in a run serve as tests.
func TestHarvest(t *testing.T) {
	f := parse(t, "r2 = 0\nl:\nr2 += 3\n*(u64 *)(r10 - 8) = r2\nif r2 < 30 goto l\nr0 = 0\nexit")
	m := New()
	p, err := m.Load(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	var states []*State
	at := p.Index(f.Name, 1)
	m.Hook = func(pc int, _ *[16]uint64) {
		if pc == at {
			states = append(states, m.Snapshot())
		}
	}
	if _, err := m.Run(p, &Input{}); err != nil {
		t.Fatal(err)
	}
	w, err := NewWindow([]isa.Insn{f.Insns[1].Insn, f.Insns[2].Insn}, Contract{Live: isa.Regs(isa.R2)}, states)
	if err != nil || w.Tests() != 10 {
		t.Fatalf("%d states, %v", len(states), err)
	}
	s, err := w.Score([]isa.Insn{f.Insns[1].Insn}, math.MaxInt)
	if err != nil || s.Equal {
		t.Fatalf("%+v %v", s, err)
	}
}

func BenchmarkWindow(b *testing.B) {
	w, err := NewWindow(insns(b, "r1 = 5\n*(u32 *)(r10 - 8) = r1\n*(u32 *)(r10 - 4) = 0\nr2 <<= 32\nr2 >>= 32\nr3 = 7"), Contract{Live: isa.Regs(isa.R2)}, randomStates(32))
	if err != nil {
		b.Fatal(err)
	}
	code := insns(b, "r1 = 5\n*(u64 *)(r10 - 8) = r1\nw2 = w2\nr4 = r2\nr4 += 1")
	b.ReportAllocs()
	for b.Loop() {
		if s, err := w.Score(code, math.MaxInt); err != nil || !s.Equal {
			b.Fatal(s, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(code)*w.Tests()), "ns/insn")
}
