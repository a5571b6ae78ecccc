package pipeline

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// walker is dropMoves as a search at random: each run makes proposals.
type walker struct {
	dropMoves
	counts []MoveStats
}

func (*walker) Name() string { return "walker" }

func (w *walker) Run(ctx context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []Change) {
	if w.counts == nil {
		w.counts = []MoveStats{{Move: "drop"}, {Move: "swap"}}
	}
	w.counts[0].Add(&MoveStats{Proposed: 7, Price: 1, Tests: 2, Taken: 4, Better: 3})
	w.counts[1].Add(&MoveStats{Proposed: 2, Void: 1, Registers: 1})
	return w.dropMoves.Run(ctx, f, allow)
}

func (w *walker) TakeMoves() []MoveStats {
	n := w.counts
	w.counts = nil
	return n
}

// The report shows each function's own proposals and what came of the finds.
func TestReportShowsMoves(t *testing.T) {
	w := &walker{}
	a, b := moves(5), moves(5)
	res, err := Optimize(context.Background(), listingObject{[]*prog.Func{a, b}}, Options{
		Objective: cost.Size, Search: []Transform{w}, Prover: wants{[]int64{103}}, Gates: []Gate{needs{"exit"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	first := res.Functions[0].Stats["walker"]
	if first == nil || first.Moves[0].Proposed == 0 || !slices.Equal(first.Moves, res.Functions[1].Stats["walker"].Moves) {
		t.Errorf("the moves of equal functions differ: %+v", first)
	}
	var out strings.Builder
	if err := WriteReport(&out, &Result{Functions: []FuncResult{{Name: "main", Section: "xdp", Input: a, Stats: map[string]*TransformStats{
		"passes": {Tried: 3},
		"walker": {Tried: 5, Kept: 1, Unproved: 2, Refused: 1, Slots: 4, Moves: []MoveStats{
			{Move: "drop", Proposed: 1700, Price: 1, Tests: 1295, Taken: 404, Better: 3}, {Move: "swap", Proposed: 2, Void: 1, Registers: 1}}},
	}}}}); err != nil {
		t.Fatal(err)
	}
	const want = `  walker: judged 5 of its finds: 1 kept, 2 not proved, 1 refused by a kernel; slots saved: 4
      move  proposed  no change  registers  price  tests  taken  better
      drop      1700          0          0      1   1295    404       3
      swap         2          1          1      0      0      0       0
       all      1702          1          1      1   1295    404       3
`
	if !strings.Contains(out.String(), want) || strings.Contains(out.String(), "passes") {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
