package pipeline

import (
	"context"
	"testing"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// apart counts the questions with places and without.
type apart struct {
	wants
	with, without *int
}

func (a apart) Prove(ctx context.Context, p, q *prog.Func) Proof {
	*a.with++
	return a.wants.Prove(ctx, p, q)
}

func (a apart) ProveWhole(ctx context.Context, p, q *prog.Func) Proof {
	*a.without++
	return a.wants.Prove(ctx, p, q)
}

// Where a single rewrite is at stake, no places are asked for.
func TestPlacesOfSetsOnly(t *testing.T) {
	for _, c := range []struct {
		t     Transform
		moves int64
		sets  bool // it makes several rewrites at once
	}{{dropOne{}, 1, false}, {dropMoves{}, 4, true}} {
		with, without := 0, 0
		obj := listingObject{[]*prog.Func{moves(c.moves)}}
		_, err := Optimize(context.Background(), obj, Options{Objective: cost.Size, Transforms: []Transform{c.t},
			Prover: apart{wants{}, &with, &without}, Gates: []Gate{needs{"exit"}}})
		if err != nil {
			t.Fatal(err)
		}
		if (with > 0) != c.sets || without == 0 {
			t.Errorf("%s: %d questions with places, %d without", c.t.Name(), with, without)
		}
	}
}

// A large function is loaded while it is proved: what either refuses is dropped.
func TestLargeFunctions(t *testing.T) {
	const n = largeFunction + 20
	for _, c := range []struct {
		prover Prover
		gate   Gate
		kept   int64 // the move that must stay, 0 for none
	}{
		{wants{}, needs{"exit"}, 0},
		{wants{[]int64{107}}, needs{"exit"}, 107},
		{wants{}, needs{"= 109"}, 109},
	} {
		obj := listingObject{[]*prog.Func{moves(n)}}
		res, err := Optimize(context.Background(), obj, Options{Objective: cost.Size, Transforms: []Transform{dropMoves{}},
			Prover: c.prover, Gates: []Gate{c.gate}})
		if err != nil {
			t.Fatal(err)
		}
		out := res.Functions[0].Output
		kept := false
		for k := range out.Insns {
			kept = kept || out.Insns[k].Imm == c.kept
		}
		if len(out.Insns) > 3 || c.kept != 0 && !kept {
			t.Errorf("%v: %d instructions are left; the one that must stay is there: %v", c, len(out.Insns), kept)
		}
	}
}
