package profile

import (
	"testing"

	"github.com/superbpf/superbpf/optimizer/prog"
)

func parse(t *testing.T, name, text string) *prog.Func {
	t.Helper()
	f, err := prog.ParseFunc(name, text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// packet of a length that the program below tells apart.
func packets(lengths ...int) [][]byte {
	var out [][]byte
	for _, n := range lengths {
		out = append(out, make([]byte, n))
	}
	return out
}

const byLength = `
r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r2 += 100
if r2 > r3 goto short
r0 = 2
exit
short:
r0 = 1
exit
`

// The traffic decides, against what the shape suggests.
func TestTrafficDecides(t *testing.T) {
	f := parse(t, "f", byLength)
	w := Of([]*prog.Func{f}, nil, Traffic{Packets: packets(60, 60, 60, 200)})[f]
	if w[0] != 1 || !(w[6] > .7 && w[6] < .76) || !(w[4] > .24 && w[4] < .3) {
		t.Errorf("weights %v", w)
	}
}

// A function that nothing calls gets weights as well, and an entry that cannot
// run (a kernel function) is guessed.
func TestGuessesWhereNothingRuns(t *testing.T) {
	f, g := parse(t, "f", byLength), parse(t, "g", "subprogram 1\nr0 = r1\nif r1 == 0 goto out\nr0 = 7\nout:\nexit")
	w := Of([]*prog.Func{f, g}, nil, Traffic{})
	if len(w[f]) != len(f.Insns) || len(w[g]) != len(g.Insns) || w[g][0] != 1 || w[g][2] >= 1 {
		t.Errorf("weights %v", w)
	}
}

// Subprograms count by their own calls.
func TestSubprograms(t *testing.T) {
	f := parse(t, "f", "r6 = r1\nr1 = 1\ncall func g\nr1 = 2\ncall func g\nr0 = 2\nexit")
	g := parse(t, "g", "subprogram 1\nr0 = 0\nif r1 == 1 goto out\nr0 = 7\nout:\nexit")
	w := Of([]*prog.Func{f, g}, func(string) *prog.Func { return g }, Traffic{Packets: packets(64)})
	if w[g][0] != 1 || !(w[g][2] > .45 && w[g][2] < .55) {
		t.Errorf("weights %v", w[g])
	}
}
