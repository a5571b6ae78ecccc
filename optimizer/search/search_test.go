package search

import (
	"context"
	"math"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/steps"
)

func TestSettingsSumToOne(t *testing.T) {
	for _, s := range Published {
		if sum := s.Instruction + s.Operand + s.Nop + s.Memory1 + s.Memory2 + s.Contiguous; math.Abs(sum-1) > 1e-9 {
			t.Errorf("setting %s: the moves' probabilities sum to %g", s.Name, sum)
		}
	}
	if _, err := Setting("9"); err == nil {
		t.Error("setting 9 exists")
	}
}

const wasteful = `
r2 = *(u32 *)(r1 + 16)
r3 = r2
r3 += 1
r3 += 1
r4 = 0
*(u64 *)(r10 - 8) = r4
r0 = r3
r0 <<= 32
r0 >>= 32
exit
`

func newChain(t testing.TB, setting string) (*Chain, *prog.Func) {
	v, err := equiv.New(equiv.Options{Solver: "none"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Setting(setting)
	if err != nil {
		t.Fatal(err)
	}
	f, err := prog.ParseFunc("wasteful", wasteful)
	if err != nil {
		t.Fatal(err)
	}
	return &Chain{Settings: []Settings{s}, Validator: v, Model: cost.Default(), Objective: cost.Size, MCPU: 3, Seed: 1, Steps: 30000, Rounds: 3}, f
}

// The chain finds a smaller program that passes the tests, the same one each
// time, and the prover agrees.
func TestChainFindsSmallerPrograms(t *testing.T) {
	for _, s := range Published {
		var texts [2]int
		for i := range texts {
			c, f := newChain(t, s.Name)
			site := 0
			for ; site < 20; site++ {
				g, changes := c.Run(context.Background(), f, func(k int) bool { return k == site })
				if g == nil {
					break
				}
				g.Compact()
				if len(changes) != 1 || g.Slots() >= f.Slots() {
					t.Fatalf("setting %s: %d slots of %d", s.Name, g.Slots(), f.Slots())
				}
				if r := c.Validator.Func(context.Background(), f, g); r.Verdict == equiv.Equal {
					texts[i] = 1000*(site+1) + g.Slots()
					break
				}
			}
		}
		if texts[0] == 0 || texts[0] != texts[1] {
			t.Errorf("setting %s: runs found %v", s.Name, texts)
		}
	}
}

// All settings walk at the same time and find the same each time; the most
// costly window comes first; moves are counted.
func TestChainsInParallel(t *testing.T) {
	var texts [2]string
	for i := range texts {
		c, f := newChain(t, "1")
		c.Settings = Published
		c.Weights = func(f *prog.Func) []float64 {
			w := make([]float64, len(f.Insns))
			w[len(w)-2] = 1 // only the last window costs anything
			return w
		}
		g, changes := c.Run(context.Background(), f, func(int) bool { return true })
		if g == nil {
			t.Fatal("found nothing")
		}
		texts[i] = changes[0].Text + prog.FormatFunc(g)
		if first := c.spans[0]; first.to != len(f.Insns)-1 {
			t.Errorf("the first window ends at %d", first.to)
		}
		n := 0
		counts := c.TakeMoves()
		for _, x := range counts {
			n += x.Proposed
			if x.Proposed != x.Void+x.Registers+x.Price+x.Tests+x.Taken || x.Better > x.Taken {
				t.Errorf("a move's counts do not add up: %+v", x)
			}
			if x.Move == "nop" && (x.Void == 0 || x.Registers == 0 || x.Tests == 0 || x.Taken == 0) {
				t.Errorf("moves are not counted: %+v", x)
			}
		}
		if want := c.next * len(Published) * c.Steps; n != want || len(counts) != len(moves) || c.Ran == 0 {
			t.Errorf("counted %d proposals of %d kinds, %d executions; want %d proposals", n, len(counts), c.Ran, want)
		}
		if again := c.TakeMoves(); again != nil {
			t.Errorf("the counters were not taken: %v", again)
		}
	}
	if texts[0] != texts[1] {
		t.Errorf("two runs differ: %s and %s", texts[0], texts[1])
	}
}

// A call of a function whose arguments are not known makes registers look live that
// hold nothing: they hinder no proposal. Proposals that are refused unrun cost
// steps, too.
func TestChainBeforeACall(t *testing.T) {
	c, _ := newChain(t, "1")
	f, err := prog.ParseFunc("caller", "r1 = *(u32 *)(r1 + 16)\nr2 = r1\nr2 <<= 32\nr2 >>= 32\nr1 = r2\nr1 &= 1\ncall func other\nexit")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := steps.With(context.Background(), 0)
	defer end()
	c.Run(ctx, f, func(int) bool { return false })
	var all pipeline.MoveStats
	for _, m := range c.TakeMoves() {
		all.Add(&m)
	}
	if all.Better == 0 {
		t.Errorf("nothing found: %+v", all)
	}
	if n := steps.Spent(ctx); n < int64(all.Proposed/proposedPerStep) {
		t.Errorf("%d proposals cost %d steps", all.Proposed, n)
	}
}

// A machine does on each state what the term of a row says, loads after stores
// included.
func TestMachineMemory(t *testing.T) {
	f, err := prog.ParseFunc("m", "*(u32 *)(r10 - 8) = -2\nr1 = 7\n*(u16 *)(r10 - 6) = r1\nr2 = *(u64 *)(r10 - 8)\nr2 <<= 32\nr3 = *(s8 *)(r10 - 8)\nexit")
	if err != nil {
		t.Fatal(err)
	}
	var code []isa.Insn
	for _, in := range f.Insns[:6] {
		code = append(code, in.Insn)
	}
	var b block
	for i := range b.in[isa.FP] {
		b.in[isa.FP][i] = 0x1000 * uint64(i)
	}
	var m machine
	m.start(&b)
	if n := m.run(code); n != 6 {
		t.Errorf("%d instructions", n)
	}
	for i := range b.seed {
		if m.regs[2][i] != 0x0007fffe00000000 || int64(m.regs[3][i]) != -2 {
			t.Errorf("state %d: %#x %#x", i, m.regs[2][i], m.regs[3][i])
		}
	}
}

// cpuSeconds is the time that this process had on processors: other load does
// not count.
func cpuSeconds(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkChain reports how many instructions of candidates one walk, on one
// core, executes on a test state in a second of processor time, in millions.
func BenchmarkChain(b *testing.B) {
	for _, s := range Published {
		b.Run("setting"+s.Name, func(b *testing.B) {
			c, f := newChain(b, s.Name)
			c.Steps, c.Rounds = b.N, 1
			c.spans = c.windows(f)
			b.ResetTimer()
			before := cpuSeconds(b)
			c.search(context.Background(), f)
			b.ReportMetric(float64(c.Ran)/(cpuSeconds(b)-before)/1e6, "Minsns/cpu-s")
		})
	}
}
