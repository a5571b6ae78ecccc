package pipeline

import (
	"context"
	"slices"
	"testing"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// turn moves the first instruction behind the others, which saves nothing.
type turn struct{ runs *int }

func (turn) Name() string { return "turn" }

func (t turn) Run(_ context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []Change) {
	*t.runs++
	if !allow(0) {
		return nil, nil
	}
	g := f.Clone()
	last := len(g.Insns) - 1
	g.Insns = slices.Concat(f.Insns[1:last], f.Insns[:1], f.Insns[last:])
	return g, []Change{{At: 0, Text: "turned"}}
}

// A transform that comes back to what there was before ends there.
func TestNoFormComesTwice(t *testing.T) {
	runs := 0
	res, err := Optimize(context.Background(), listingObject{[]*prog.Func{moves(5)}}, Options{
		Objective: cost.Latency, Transforms: []Transform{turn{&runs}}, Prover: wants{}, Gates: []Gate{needs{"exit"}}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range res.Functions[0].Steps {
		n += len(s.Changes)
	}
	if n != 4 || runs > 10 {
		t.Errorf("%d turns in %d runs, want the 4 other forms", n, runs)
	}
}
