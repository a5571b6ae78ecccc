package search

import (
	"context"
	"math"
	"testing"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/prog"
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
	return &Chain{Settings: s, Validator: v, Model: cost.Default(), Objective: cost.Size, MCPU: 3, Seed: 1, Steps: 30000, Restarts: 3}, f
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

func BenchmarkChain(b *testing.B) {
	c, f := newChain(b, "1")
	c.Steps, c.Restarts = b.N, 1
	b.ResetTimer()
	c.search(context.Background(), f)
}
