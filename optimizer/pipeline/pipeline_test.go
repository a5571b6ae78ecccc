package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// dropMoves deletes every `r = imm` move: one site each.
type dropMoves struct{}

func (dropMoves) Name() string { return "drop-moves" }

func (dropMoves) Run(_ context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []Change) {
	g := f.Clone()
	var cs []Change
	site := 0
	for k := range g.Insns {
		if r := g.Insns[k].Row(); r.Fn == isa.FnMov && r.Imm {
			if allow(site) {
				cs = append(cs, Change{At: k, Text: isa.Format(g.Insns[k].Insn, "")})
				g.Insns[k] = prog.New(isa.Insn{Op: isa.Nop})
			}
			site++
		}
	}
	return g, cs
}

// wants is a prover that insists on certain moves being kept.
type wants struct{ keep []int64 }

func (w wants) Prove(_ context.Context, _, q *prog.Func) Proof {
	for _, v := range w.keep {
		found := false
		for k := range q.Insns {
			found = found || q.Insns[k].Imm == v
		}
		if !found {
			return Proof{Verdict: "Different", Reason: "a value is lost"}
		}
	}
	return Proof{Equal: true, Verdict: "Equal", Reason: "kept"}
}

// needs is a gate that refuses objects without a byte.
type needs struct{ text string }

func (needs) Name() string { return "test" }

func (n needs) Load(_ context.Context, object []byte, _ string) (GateResult, error) {
	if !bytes.Contains(object, []byte(n.text)) {
		return GateResult{Reason: "missing " + n.text}, nil
	}
	return GateResult{Accepted: true}, nil
}

type listingObject struct{ fs []*prog.Func }

func (o listingObject) Functions() []*prog.Func { return o.fs }
func (o listingObject) Users(int) []string      { return []string{"main"} }
func (o listingObject) Encode(r map[int]*prog.Func) ([]byte, error) {
	var b strings.Builder
	for i, f := range o.fs {
		if g := r[i]; g != nil {
			f = g
		}
		b.WriteString(strings.Join(Listing(f), "\n"))
	}
	return []byte(b.String()), nil
}

func moves(n int64) *prog.Func {
	f := &prog.Func{Name: "main", Section: "xdp", Entry: true, Type: prog.TypeXDP}
	for v := range n {
		f.Insns = append(f.Insns, prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Imm: 100 + v}))
	}
	f.Insns = append(f.Insns, prog.New(isa.Insn{Op: isa.Exit}))
	for k := range f.Insns {
		f.Insns[k].Origin = k
	}
	return f
}

func TestBisectionKeepsTheGoodRewrites(t *testing.T) {
	f := moves(9)
	res, err := Optimize(context.Background(), listingObject{[]*prog.Func{f}}, Options{
		Objective: cost.Size, Transforms: []Transform{dropMoves{}},
		Prover: wants{[]int64{103}}, Gates: []Gate{needs{"= 107"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := string(res.Output)
	if !strings.Contains(got, "= 103") || !strings.Contains(got, "= 107") || res.Functions[0].After.Slots != 3 {
		t.Errorf("want only the two needed moves and exit, got\n%s", got)
	}
	r := res.Functions[0].Refused
	if r.Proof == 0 || r.Kernel == 0 {
		t.Errorf("refusals not counted: %+v", r)
	}
	if f.Slots() != 10 {
		t.Error("the input function was changed")
	}
}

func TestRefusedInputIsLeftAlone(t *testing.T) {
	f := moves(3)
	res, err := Optimize(context.Background(), listingObject{[]*prog.Func{f}}, Options{
		Transforms: []Transform{dropMoves{}}, Prover: wants{}, Gates: []Gate{needs{"never there"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Changed() || res.Functions[0].Skipped == "" {
		t.Errorf("a program that the kernel refuses was changed: %+v", res.Functions[0])
	}
}

func TestNoGateIsAnError(t *testing.T) {
	if _, err := Optimize(context.Background(), listingObject{}, Options{}); err != ErrNoGate {
		t.Errorf("got %v", err)
	}
}

func TestCertificateRoundTrip(t *testing.T) {
	f := moves(5)
	obj := listingObject{[]*prog.Func{f}}
	res, err := Optimize(context.Background(), obj, Options{
		Objective: cost.Size, Transforms: []Transform{dropMoves{}}, Prover: wants{[]int64{101}}, Gates: []Gate{needs{"exit"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	in, _ := obj.Encode(nil)
	c, err := NewCertificate(in, res, "none", false)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(c)
	c, err = ParseCertificate(b, in, res.Output)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCertificate(b, in, append(res.Output, 0)); err == nil {
		t.Error("a certificate about another output was taken")
	}
	out := []*prog.Func{res.Functions[0].Output}
	// Only one link at a time can be proved: the direct proof must fail.
	v, _, err := VerifyPair(context.Background(), obj.fs, out, c, wants{[]int64{101}})
	if err != nil || !v[0].Proof.Equal {
		t.Fatalf("%+v, %v", v, err)
	}
	v, _, err = VerifyPair(context.Background(), obj.fs, out, c, wants{[]int64{102}})
	if err != nil || v[0].Proof.Equal {
		t.Fatalf("a failing proof passed: %+v, %v", v, err)
	}
}

// dropOne deletes the first move that it may: one step a move.
type dropOne struct{}

func (dropOne) Name() string { return "drop-one" }

func (dropOne) Run(ctx context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []Change) {
	taken := false
	return dropMoves{}.Run(ctx, f, func(site int) bool {
		ok := !taken && allow(site)
		taken = taken || ok
		return ok
	})
}

// slowWithout measures a program as slower when it lacks one of the texts.
type slowWithout struct {
	texts []string
	asked int
}

func (m *slowWithout) slow(object []byte) bool {
	for _, s := range m.texts {
		if !bytes.Contains(object, []byte(s)) {
			return true
		}
	}
	return false
}

func (m *slowWithout) Race(_ context.Context, _ string, objects [][]byte) (Ranking, error) {
	return Ranking{Best: 1, Slower: m.slow(objects[1]), Note: "measured"}, nil
}

func (m *slowWithout) Slower(_ context.Context, _ string, _, object []byte) (bool, error) {
	m.asked++
	return m.slow(object), nil
}

// The rewrites that measure slower are withdrawn, and those alone.
func TestSlowRewriteIsWithdrawn(t *testing.T) {
	for _, c := range []struct {
		slow  []string
		slots int
	}{
		{nil, 2}, // the model of the checker wants a result
		{[]string{"= 104"}, 2},
		{[]string{"= 100", "= 108"}, 3},
		{[]string{"= 101", "= 103", "= 106"}, 4},
		{[]string{"= 100", "= 102", "= 104", "= 106", "= 108"}, 10}, // too many causes
	} {
		obj := listingObject{[]*prog.Func{moves(9)}}
		opt := Options{Objective: cost.Size, Transforms: []Transform{dropOne{}}, Prover: wants{}, Gates: []Gate{needs{"exit"}}}
		res, err := Optimize(context.Background(), obj, opt)
		if err != nil {
			t.Fatal(err)
		}
		m := &slowWithout{texts: c.slow}
		if err := Select(context.Background(), obj, res, opt, m); err != nil {
			t.Fatal(err)
		}
		fr := res.Functions[0]
		if m.slow(res.Output) || fr.After.Slots != c.slots {
			t.Errorf("%q: %d slots, want %d; slow: %v; %s\n%s", c.slow, fr.After.Slots, c.slots, m.slow(res.Output), fr.Measured, res.Output)
		}
		if err := Confirm(context.Background(), res, opt.Gates); err != nil {
			t.Error(err)
		}
		if m.asked > 20 {
			t.Errorf("%q: %d measurements", c.slow, m.asked)
		}
	}
}

// lastBest prefers the last candidate, by chance or for good.
type lastBest struct{ again bool }

func (m lastBest) Race(_ context.Context, _ string, objects [][]byte) (Ranking, error) {
	return Ranking{Best: len(objects) - 1, Note: "measured"}, nil
}

func (m lastBest) Slower(context.Context, string, []byte, []byte) (bool, error) { return m.again, nil }

// A form on the way takes the place of the final one if it is faster twice.
func TestFasterFormIsAskedTwice(t *testing.T) {
	for again, slots := range map[bool]int{false: 2, true: 9} {
		obj := listingObject{[]*prog.Func{moves(9)}}
		opt := Options{Objective: cost.Size, Transforms: []Transform{dropOne{}}, Prover: wants{}, Gates: []Gate{needs{"exit"}}}
		res, err := Optimize(context.Background(), obj, opt)
		if err != nil {
			t.Fatal(err)
		}
		if err := Select(context.Background(), obj, res, opt, lastBest{again}); err != nil {
			t.Fatal(err)
		}
		if got := res.Functions[0].After.Slots; got != slots {
			t.Errorf("faster again: %v, %d slots, want %d: %s", again, got, slots, res.Functions[0].Measured)
		}
	}
}

// dropDead deletes the moves that another follows: all in one step.
type dropDead struct{}

func (dropDead) Name() string { return "drop-dead" }

func (dropDead) Run(ctx context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []Change) {
	last := 0
	for k := range f.Insns {
		if r := f.Insns[k].Row(); r.Fn == isa.FnMov && r.Imm {
			last++
		}
	}
	return dropMoves{}.Run(ctx, f, func(site int) bool { return site < last-1 && allow(site) })
}

// Of a step of many rewrites, the slow one alone is withdrawn.
func TestSlowRewriteOfAStepIsWithdrawn(t *testing.T) {
	for _, c := range []struct {
		slow  []string
		slots int
		want  string
	}{
		{[]string{"= 104"}, 3, "drop-dead (r0 = 104)"},
		{[]string{"= 100"}, 3, "drop-dead (r0 = 100)"},
		{[]string{"= 107"}, 3, "drop-dead (r0 = 107)"},
		{[]string{"= 102", "= 107"}, 4, "drop-dead (r0 = 107)"},
	} {
		obj := listingObject{[]*prog.Func{moves(9)}}
		opt := Options{Objective: cost.Size, Transforms: []Transform{dropDead{}}, Prover: wants{}, Gates: []Gate{needs{"exit"}}}
		res, err := Optimize(context.Background(), obj, opt)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(res.Functions[0].Steps); n != 1 {
			t.Fatalf("%d steps, want one of many rewrites", n)
		}
		m := &slowWithout{texts: c.slow}
		if err := Select(context.Background(), obj, res, opt, m); err != nil {
			t.Fatal(err)
		}
		fr := res.Functions[0]
		if m.slow(res.Output) || fr.After.Slots != c.slots || !strings.Contains(fr.Measured, c.want) {
			t.Errorf("%q: %d slots, want %d; slow: %v; %s\n%s", c.slow, fr.After.Slots, c.slots, m.slow(res.Output), fr.Measured, res.Output)
		}
	}
}

// together is slow when it lacks both of two texts.
type together struct{ slowWithout }

func (m *together) slowBoth(object []byte) bool {
	return !bytes.Contains(object, []byte(m.texts[0])) && !bytes.Contains(object, []byte(m.texts[1]))
}

func (m *together) Race(_ context.Context, _ string, objects [][]byte) (Ranking, error) {
	return Ranking{Best: 1, Slower: m.slowBoth(objects[1])}, nil
}

func (m *together) Slower(_ context.Context, _ string, _, object []byte) (bool, error) {
	return m.slowBoth(object), nil
}

// Rewrites that are slow together only are withdrawn together.
func TestRewritesThatAreSlowTogether(t *testing.T) {
	obj := listingObject{[]*prog.Func{moves(9)}}
	opt := Options{Objective: cost.Size, Transforms: []Transform{dropDead{}}, Prover: wants{}, Gates: []Gate{needs{"exit"}}}
	res, err := Optimize(context.Background(), obj, opt)
	if err != nil {
		t.Fatal(err)
	}
	m := &together{slowWithout{texts: []string{"= 101", "= 107"}}}
	if err := Select(context.Background(), obj, res, opt, m); err != nil {
		t.Fatal(err)
	}
	if fr := res.Functions[0]; m.slowBoth(res.Output) || !strings.Contains(fr.Measured, "rewrites)") {
		t.Errorf("%s\n%s", fr.Measured, res.Output)
	}
}

// tenfold multiplies where the input shifts.
type tenfold struct{}

func (tenfold) Name() string { return "tenfold" }

func (tenfold) Run(_ context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []Change) {
	g := f.Clone()
	for k := range g.Insns {
		if g.Insns[k].Op == isa.ALU(isa.FnLsh, 64, true) && allow(0) {
			g.Insns[k].Op = isa.ALU(isa.FnMul, 64, true)
			return g, []Change{{At: k, Text: "multiply"}}
		}
	}
	return nil, nil
}

// costly measures every candidate as slower by some ns, but not by enough to take
// it back.
type costly struct{}

func (costly) Race(_ context.Context, _ string, objects [][]byte) (Ranking, error) {
	return Ranking{Best: 1, Measured: []Measurement{1: {Change: 0.5, Error: 0.05, OK: true}}}, nil
}

func (costly) Slower(context.Context, string, []byte, []byte) (bool, error) { return false, nil }

// What was measured prices the next candidates: a rewrite that the model took for a
// gain is refused once measurements have refined the price.
func TestMeasuredPricesDecide(t *testing.T) {
	model := cost.Default()
	mul, shift := isa.RowOf(isa.ALU(isa.FnMul, 64, true)).Name, isa.RowOf(isa.ALU(isa.FnLsh, 64, true)).Name
	model.Insn[mul], model.Insn[shift] = 0.03, 0.035
	if err := model.Init(); err != nil {
		t.Fatal(err)
	}
	f := moves(1)
	f.Insns = slices.Insert(f.Insns, 1, prog.New(isa.Insn{Op: isa.ALU(isa.FnLsh, 64, true), Imm: 2}))
	for k := range f.Insns {
		f.Insns[k].Origin = k
	}
	obj := listingObject{[]*prog.Func{f}}
	opt := Options{Model: model, Transforms: []Transform{tenfold{}}, Prover: wants{}, Gates: []Gate{needs{"exit"}}}
	for try := range 20 {
		res, err := Optimize(context.Background(), obj, opt)
		if err != nil {
			t.Fatal(err)
		}
		fr := res.Functions[0]
		if len(fr.Steps) == 0 {
			if try == 0 || fr.Refused.Cost == 0 || model.Insn[mul] <= model.Insn[shift] {
				t.Errorf("refused in try %d: %+v; prices %g and %g", try, fr.Refused, model.Insn[mul], model.Insn[shift])
			}
			return
		}
		if err := Select(context.Background(), obj, res, opt, costly{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Errorf("still taken; prices %g and %g", model.Insn[mul], model.Insn[shift])
}
