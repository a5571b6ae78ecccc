package pipeline

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// optimizeMoves runs one transform over a function and counts the loads.
func optimizeMoves(t *testing.T, f *prog.Func, tr Transform, p Prover, judge func(object string) GateResult) (*Result, int) {
	t.Helper()
	loads := 0
	res, err := Optimize(context.Background(), listingObject{[]*prog.Func{f}}, Options{
		Objective: cost.Size, Transforms: []Transform{tr}, Prover: p, Gates: []Gate{kernel{"k", &loads, judge}}})
	if err != nil {
		t.Fatal(err)
	}
	return res, loads
}

// lacks gives the first of the values that no instruction of an object has, 0 for
// none.
func lacks(object string, values ...int) int {
	for _, v := range values {
		if !strings.Contains(object, fmt.Sprintf("= %d\n", v)) {
			return v
		}
	}
	return 0
}

// Logs that point at one guilty rewrite after the other lead to the rest of the set at
// once.
func TestLogsPointAtSeveralRewrites(t *testing.T) {
	bad := []int{100, 112, 117, 130} // the first, since the uses want a value
	const n = 40
	// Each move has its use behind it.
	f := moves(n)
	for k := n - 1; k >= 0; k-- {
		in := prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, false), Dst: 1})
		if err := f.Splice(k+1, k+1, []prog.Insn{in}); err != nil {
			t.Fatal(err)
		}
	}
	for k := range f.Insns {
		f.Insns[k].Origin = k
	}
	count := func(place func(object string, use int) int) int {
		res, loads := optimizeMoves(t, f, dropMoves{}, wants{}, func(o string) GateResult {
			if v := lacks(o, bad...); v != 0 {
				return GateResult{Reason: "refused", FailFunc: "main", FailSlot: place(o, v-100)}
			}
			return GateResult{Accepted: true, FailSlot: -1}
		})
		if got := res.Functions[0].After.Slots; got != n+len(bad)+1 {
			t.Errorf("%d slots are left, want the %d uses, the %d moves that are needed and the exit", got, n, len(bad))
		}
		return loads
	}
	led := count(func(o string, use int) int {
		for slot, line := range strings.Split(o, "\n") {
			if strings.Contains(line, "r1 = r0") {
				if use--; use < 0 {
					return slot
				}
			}
		}
		return -1
	})
	blind := count(func(string, int) int { return -1 })
	misled := count(func(o string, _ int) int { return strings.Count(o, "\n") })
	// The input twice, a set and its suspects, each suspect alone, the result.
	if most := 2 + 2*len(bad) + 1 + 1; led > most || blind <= most || misled > 2*blind {
		t.Errorf("%d loads with the logs' help, %d without, %d with misleading ones; want at most %d with help", led, blind, misled, most)
	}
}

// Rewrites that a transform makes one a run are judged several at a time, and the
// guilty one among them is found.
func TestSeriesOfRewrites(t *testing.T) {
	// The model of the checker wants a result: one move stays.
	for _, c := range []struct {
		name   string
		proof  []int64
		kernel []int
		slots  int
		loads  int // at most
	}{
		{"all are taken", nil, nil, 2, 12},
		{"the kernel refuses one", nil, []int{117}, 2, 20},
		{"the proof refuses one", []int64{123}, nil, 2, 20},
		{"the first", nil, []int{100}, 2, 20},
	} {
		res, loads := optimizeMoves(t, moves(40), dropOne{}, wants{c.proof}, func(o string) GateResult {
			return GateResult{Accepted: lacks(o, c.kernel...) == 0, FailSlot: -1}
		})
		f := &res.Functions[0]
		if f.After.Slots != c.slots || loads > c.loads {
			t.Errorf("%s: %d slots, want %d; %d loads, want at most %d", c.name, f.After.Slots, c.slots, loads, c.loads)
		}
		for _, s := range f.Steps {
			if n := len(s.links); n > 0 && !prog.SameCode(s.links[n-1].after, s.After) {
				t.Errorf("%s: a series ends elsewhere than its step", c.name)
			}
		}
	}
}

// A set may cost what its rewrites may one after the other.
func TestPriceOfASet(t *testing.T) {
	m := cost.Default()
	cheap, dear := m.Func(moves(2), nil), m.Func(moves(3), nil)
	if !worth(cost.Latency, cheap, cheap, 1) || worth(cost.Latency, cheap, dear, 1) {
		t.Fatal("an instruction more is worth nothing")
	}
	little := cheap
	little.Nanoseconds += 10 * cost.Negligible
	if worth(cost.Latency, cheap, little, 5) || !worth(cost.Latency, cheap, little, 20) {
		t.Error("want 10 negligible prices to be too much for 5 rewrites, and not for 20")
	}
}
