package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// kernel is a gate with a rule.
type kernel struct {
	name  string
	loads *int
	rule  func(object string) GateResult
}

func (k kernel) Name() string { return k.name }

func (k kernel) Load(ctx context.Context, object []byte, _ string) (GateResult, error) {
	if err := ctx.Err(); err != nil {
		return GateResult{}, err
	}
	*k.loads++
	return k.rule(string(object)), nil
}

// with accepts objects that hold a text; processed is one for each move.
func with(name, text string) kernel {
	return kernel{name, new(int), func(o string) GateResult {
		return GateResult{Accepted: strings.Contains(o, text), Reason: "no " + text, FailSlot: -1, VerifiedInsns: strings.Count(o, "=")}
	}}
}

func dropWith(t *testing.T, n int64, gates ...Gate) *Result {
	t.Helper()
	res, err := Optimize(context.Background(), listingObject{[]*prog.Func{moves(n)}}, Options{
		Objective: cost.Size, Transforms: []Transform{dropMoves{}}, Prover: wants{}, Gates: gates,
	})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestEveryKernelMustAccept(t *testing.T) {
	res := dropWith(t, 6, with("new", "exit"), with("old", "= 102"), with("older", "= 104"))
	out := string(res.Output)
	if !strings.Contains(out, "= 102") || !strings.Contains(out, "= 104") || res.Functions[0].After.Slots != 3 {
		t.Errorf("want the moves that the kernels need and no other:\n%s", out)
	}
	kernels := map[string]bool{}
	for _, r := range res.Functions[0].Refused.Rewrites {
		kernels[r.Kernel] = true
	}
	if len(kernels) != 2 || kernels["new"] {
		t.Errorf("who refused: %v", kernels)
	}
	if k := res.Programs[0].Kernels; len(k) != 3 || k[2].Before.VerifiedInsns != 6 || k[2].After.VerifiedInsns != 2 {
		t.Errorf("figures: %+v", k)
	}
}

// A kernel that refuses the input has no say in the rest.
func TestKernelThatRefusesTheInputIsNoJudge(t *testing.T) {
	res := dropWith(t, 4, with("old", "never"), with("new", "= 101"))
	p := res.Programs[0]
	if got := p.Judges(); len(got) != 1 || got[0] != "new" {
		t.Errorf("judges: %v", got)
	}
	if !p.Before.Accepted || res.Functions[0].After.Slots != 2 {
		t.Errorf("%+v, %d slots", p, res.Functions[0].After.Slots)
	}
	var b strings.Builder
	if err := WriteReport(&b, res); err != nil || !strings.Contains(b.String(), "not gated by old: refuses the input") {
		t.Errorf("%v: report:\n%s", err, &b)
	}
}

// A log that names an instruction leads to the rewrite before it at once.
func TestLogPointsAtTheRewrite(t *testing.T) {
	const n, bad = 64, 40
	count := func(point bool) int {
		k := kernel{"k", new(int), func(o string) GateResult {
			if strings.Contains(o, fmt.Sprintf("= %d\n", 100+bad)) {
				return GateResult{Accepted: true, FailSlot: -1}
			}
			r := GateResult{Reason: "refused", FailSlot: -1}
			if point {
				// What uses the value that is missed.
				before, _, _ := strings.Cut(o, fmt.Sprintf("r1 = r%d\n", bad%10))
				for range bad / 10 {
					_, rest, _ := strings.Cut(o[len(before):], "\n")
					next, _, _ := strings.Cut(rest, fmt.Sprintf("r1 = r%d\n", bad%10))
					before = o[:len(o)-len(rest)+len(next)]
				}
				r.FailFunc, r.FailSlot = "main", strings.Count(before, "\n")
			}
			return r
		}}
		f := moves(n)
		for k := n - 1; k >= 0; k-- {
			in := prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, false), Dst: 1, Src: isa.Reg(k % 10)})
			if err := f.Splice(k+1, k+1, []prog.Insn{in}); err != nil {
				t.Fatal(err)
			}
		}
		for k := range f.Insns {
			f.Insns[k].Origin = k
		}
		res, err := Optimize(context.Background(), listingObject{[]*prog.Func{f}}, Options{
			Objective: cost.Size, Transforms: []Transform{dropMoves{}}, Prover: wants{}, Gates: []Gate{k}})
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Functions[0].After.Slots; got != n+2 {
			t.Errorf("%d slots are left, want the uses, one move and the exit", got)
		}
		return *k.loads
	}
	// Input, input of the function, refused, without it, it alone, result.
	if led, blind := count(true), count(false); led > 6 || led >= blind {
		t.Errorf("%d loads with the log's help, %d without", led, blind)
	}
}

// A log that always points at the wrong place costs some loads, no rewrite.
func TestMisleadingLog(t *testing.T) {
	res := dropWith(t, 20, kernel{"k", new(int), func(o string) GateResult {
		return GateResult{Accepted: strings.Contains(o, "= 103\n"), FailFunc: "main", FailSlot: 0}
	}})
	if res.Functions[0].After.Slots != 2 {
		t.Errorf("%d slots are left", res.Functions[0].After.Slots)
	}
}

func TestDeadKernelIsAnError(t *testing.T) {
	_, err := Optimize(context.Background(), listingObject{[]*prog.Func{moves(3)}}, Options{
		Transforms: []Transform{dropMoves{}}, Prover: wants{}, Gates: []Gate{with("a", "exit"), broken{}}})
	if err == nil || !strings.Contains(err.Error(), "kernel dead") {
		t.Errorf("got %v", err)
	}
}

type broken struct{}

func (broken) Name() string { return "dead" }
func (broken) Load(context.Context, []byte, string) (GateResult, error) {
	return GateResult{}, errors.New("gone")
}

// grow adds a move in front.
type grow struct{}

func (grow) Name() string { return "grow" }

func (grow) Run(_ context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []Change) {
	if len(f.Insns) > 6 || !allow(0) {
		return nil, nil
	}
	g := f.Clone()
	if err := g.Splice(0, 0, []prog.Insn{prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Imm: 7})}); err != nil {
		return nil, nil
	}
	return g, []Change{{At: 0, Text: "grow"}}
}

// Under the objective complexity the verifier's count decides, not the size.
func TestComplexityIsWhatTheVerifierProcesses(t *testing.T) {
	run := func(o cost.Objective) *Result {
		k := kernel{"k", new(int), func(o string) GateResult {
			return GateResult{Accepted: true, FailSlot: -1, VerifiedInsns: 100 - 10*strings.Count(o, "=")}
		}}
		res, err := Optimize(context.Background(), listingObject{[]*prog.Func{moves(3)}}, Options{
			Objective: o, Transforms: []Transform{grow{}, dropMoves{}}, Prover: wants{}, Gates: []Gate{k}, MaxRounds: 3,
		})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if r := run(cost.Complexity); r.Programs[0].Before.VerifiedInsns != 70 || r.Programs[0].After.VerifiedInsns != 40 || r.Functions[0].After.Slots != 7 {
		t.Errorf("complexity: %+v, %d slots", r.Programs[0], r.Functions[0].After.Slots)
	}
	// One move stays: the model of the checker wants a result.
	if r := run(cost.Size); r.Functions[0].After.Slots != 2 || r.Programs[0].After.VerifiedInsns != 90 {
		t.Errorf("size: %+v, %d slots", r.Programs[0], r.Functions[0].After.Slots)
	}
}

// What makes the verifier's work many times as long, or takes much of what is left
// until it gives up, is not worth a slot.
func TestVerifierIsNotOverburdened(t *testing.T) {
	for _, c := range []struct{ input, processed, slots int }{
		{1000, leastBurden - 1, 2}, {1000, 3 * leastBurden, 5},
		{100_000, 190_000, 2}, {100_000, 210_000, 5},
		{900_000, 920_000, 2}, {900_000, 930_000, 5},
	} {
		k := kernel{"k", new(int), func(o string) GateResult {
			n := c.input
			if strings.Count(o, "=") < 4 {
				n = c.processed
			}
			return GateResult{Accepted: true, FailSlot: -1, VerifiedInsns: n}
		}}
		res, err := Optimize(context.Background(), listingObject{[]*prog.Func{moves(5)}}, Options{
			Objective: cost.Size, Transforms: []Transform{dropOne{}}, Prover: wants{}, Gates: []Gate{k}, MaxRounds: 9,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Functions[0].After.Slots; got != c.slots {
			t.Errorf("%d instructions processed, %d of the input: %d slots, want %d", c.processed, c.input, got, c.slots)
		}
	}
}

// Rewrites that lower the verifier's count only together are found by way of the
// smallest form.
func TestComplexityByWayOfSize(t *testing.T) {
	k := kernel{"k", new(int), func(o string) GateResult {
		n := strings.Count(o, "=")
		processed := 50 + n
		if n <= 3 {
			processed = 20 // a loop's states are found equal at last
		} else if n == 4 {
			processed = 60
		}
		return GateResult{Accepted: true, FailSlot: -1, VerifiedInsns: processed}
	}}
	res, err := Optimize(context.Background(), listingObject{[]*prog.Func{moves(5)}}, Options{
		Objective: cost.Complexity, Transforms: []Transform{dropOne{}}, Prover: wants{}, Gates: []Gate{k}, MaxRounds: 9,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Programs[0]; got.Before.VerifiedInsns <= got.After.VerifiedInsns || got.After.VerifiedInsns != 20 {
		t.Errorf("processed %d -> %d", got.Before.VerifiedInsns, got.After.VerifiedInsns)
	}
}
