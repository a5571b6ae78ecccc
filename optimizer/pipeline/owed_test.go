package pipeline

import (
	"context"
	"fmt"
	"testing"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// slowGate is a kernel that processes many instructions; it counts the loads.
type slowGate struct {
	needs
	loads *int
}

func (s slowGate) Load(ctx context.Context, object []byte, program string) (GateResult, error) {
	*s.loads++
	r, err := s.needs.Load(ctx, object, program)
	r.VerifiedInsns = longLoad + 1
	return r, err
}

// dropOf drops the move of one constant.
type dropOf struct{ imm int64 }

func (d dropOf) Name() string { return fmt.Sprint("drop ", d.imm) }

func (d dropOf) Run(ctx context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []Change) {
	at := -1
	for k := range f.Insns {
		if f.Insns[k].Imm == d.imm {
			at = k
		}
	}
	return dropMoves{}.Run(ctx, f, func(site int) bool { return site == at && allow(site) })
}

// Steps that are loaded together come out as if each had been loaded by itself.
func TestFewLoads(t *testing.T) {
	const n = 30
	var ts []Transform
	for v := range int64(n) {
		ts = append(ts, dropOf{100 + v})
	}
	for _, kept := range []string{"exit", "= 100\n", "= 105\n", "= 107\n", "= 108\n", "= 115\n", "= 129\n"} {
		var left [2]string
		var loads [2]int
		for k, few := range []bool{false, true} {
			res, err := Optimize(context.Background(), listingObject{[]*prog.Func{moves(n)}}, Options{Objective: cost.Size, Transforms: ts,
				Prover: wants{}, Gates: []Gate{slowGate{needs{kept}, &loads[k]}}, FewLoads: few})
			if err != nil {
				t.Fatal(err)
			}
			left[k] = fmt.Sprint(Listing(res.Functions[0].Output), res.Functions[0].Refused.Kernel)
		}
		if left[0] != left[1] {
			t.Errorf("%q is needed: %s is left, and %s with few loads", kept, left[0], left[1])
		}
		if loads[1] >= loads[0] || kept == "exit" && loads[1] > loads[0]/4 {
			t.Errorf("%q is needed: %d loads, and %d with few", kept, loads[0], loads[1])
		}
	}
}
