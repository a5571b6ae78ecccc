package equiv

import (
	"math/rand/v2"
	"testing"

	"github.com/superbpf/superbpf/optimizer/equiv/environ"
	"github.com/superbpf/superbpf/optimizer/equiv/mutate"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Windows compare live registers only. So no function, however strange, may
// behave otherwise when all others hold something else at every step.
func TestDeadRegistersDoNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	var m environ.Machine
	ran := 0
	for _, file := range caseFiles(t) {
		p, q, _ := readCase(t, file)
		for range 30 {
			f := p.Clone()
			if r.IntN(2) == 0 {
				f = q.Clone()
			}
			for range r.IntN(4) {
				if g := f.Clone(); mutate.Damage(r, g) != "" && prog.Check(g) == nil {
					f = g
				}
			}
			plain, poisoned := environ.Prepare(f, environ.Options{}), environ.Prepare(f, environ.Options{Poison: true})
			for seed := range uint64(8) {
				w := environ.NewWorld(seed, f)
				a, err := m.Run(plain, w, 1000, true)
				if err != nil {
					continue
				}
				ran++
				b, err := m.Run(poisoned, w, 1000, true)
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				if d := a.Differs(b, ResultWidth(f)); d != "" {
					t.Fatalf("%s: a register that is called dead is read: %s", file, d)
				}
			}
		}
	}
	if ran < 5000 {
		t.Errorf("only %d runs", ran)
	}
}
