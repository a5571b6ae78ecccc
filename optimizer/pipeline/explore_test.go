package pipeline

import (
	"context"
	"slices"
	"testing"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// becomes replaces the first run of moves of some constants by others.
type becomes struct {
	name     string
	from, to []int64
}

func (b becomes) Name() string { return b.name }

func (b becomes) Run(_ context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []Change) {
	for k := range len(f.Insns) - len(b.from) {
		same := true
		for i, v := range b.from {
			same = same && f.Insns[k+i].Imm == v
		}
		if !same || !allow(0) {
			continue
		}
		g := f.Clone()
		var put []prog.Insn
		for _, v := range b.to {
			put = append(put, prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Imm: v}))
		}
		g.Insns = slices.Replace(g.Insns, k, k+len(b.from), put...)
		return g, []Change{{At: k, Text: b.name}}
	}
	return nil, nil
}

func TestExploreFindsWhatTheOrderHid(t *testing.T) {
	early := becomes{"early", []int64{100, 101}, []int64{200}}
	late := becomes{"late", []int64{101, 102, 103}, nil}
	longer := becomes{"longer", []int64{102}, []int64{300, 301, 302}}
	gone := becomes{"gone", []int64{101, 300, 301, 302, 103}, nil}
	for _, c := range []struct {
		name       string
		transforms []Transform
		plain, all int // slots
	}{
		{"another order", []Transform{early, late}, 4, 2},
		{"a detour", []Transform{longer, gone}, 5, 2},
	} {
		for explore, want := range map[int]int{0: c.plain, 30: c.all} {
			f := moves(4)
			res, err := Optimize(context.Background(), listingObject{[]*prog.Func{f}}, Options{
				Objective: cost.Size, Transforms: c.transforms, Prover: wants{}, Gates: []Gate{needs{"exit"}}, Explore: explore,
			})
			if err != nil {
				t.Fatal(err)
			}
			fr := res.Functions[0]
			if fr.After.Slots != want || fr.Output.Slots() != want {
				t.Errorf("%s, %d attempts: %d slots, want %d", c.name, explore, fr.After.Slots, want)
			}
			if n := len(fr.Steps); n > 0 && (!prog.SameCode(fr.Output, fr.Steps[n-1].After) || !prog.SameCode(res.Replaced[0], fr.Output)) {
				t.Errorf("%s: the steps do not lead to the output", c.name)
			}
		}
	}
}

// TestExploreDropsARefusedAttempt: a kernel that refuses the better form leaves
// the best of the first run.
func TestExploreDropsARefusedAttempt(t *testing.T) {
	f := moves(4)
	res, err := Optimize(context.Background(), listingObject{[]*prog.Func{f}}, Options{
		Objective: cost.Size, Prover: wants{}, Gates: []Gate{needs{"= 10"}}, Explore: 30,
		Transforms: []Transform{becomes{"early", []int64{100, 101}, []int64{200}}, becomes{"late", []int64{100, 101, 102, 103}, nil}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Functions[0].Output; got.Slots() != 4 || !prog.SameCode(res.Replaced[0], got) {
		t.Errorf("got %v", Listing(got))
	}
}

// What comes last finds the best form that there is without it.
func TestLastComesAfterTheOrders(t *testing.T) {
	early := becomes{"early", []int64{100, 101}, []int64{200}}
	late := becomes{"late", []int64{101, 102, 103}, nil}
	for _, o := range []cost.Objective{cost.Size, cost.Latency} {
		seen := &watcher{}
		_, err := Optimize(context.Background(), listingObject{[]*prog.Func{moves(4)}}, Options{
			Objective: o, Transforms: []Transform{early, late}, Last: []Transform{seen}, Prover: wants{}, Gates: []Gate{needs{"exit"}}, Explore: 30,
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(seen.slots) == 0 || seen.slots[0] != 2 {
			t.Errorf("%v: forms of %v slots, want 2 at first", o, seen.slots)
		}
	}
}

// watcher notes the forms that it is shown.
type watcher struct{ slots []int }

func (*watcher) Name() string { return "watcher" }

func (w *watcher) Run(_ context.Context, f *prog.Func, _ func(int) bool) (*prog.Func, []Change) {
	w.slots = append(w.slots, f.Slots())
	return nil, nil
}
