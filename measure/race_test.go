package measure

import (
	"context"
	"errors"
	"testing"

	"github.com/superbpf/superbpf/loader/kerneltest"
)

func TestRacePicksTheFastest(t *testing.T) {
	kerneltest.Require(t)
	var subjects []Subject
	for _, n := range []int{200, 300, 150, 400, 60} {
		subjects = append(subjects, multiplications("p", kerneltest.XDP, n))
	}
	r, err := RaceSubjects(context.Background(), subjects, RaceOptions{
		Inputs: randomInputs(100), Paths: 1, Finalists: 2, Latency: brief(LatencyOptions{Seed: 1, Retries: 3}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("best %d, ratios %.2f, verdicts %v, finalists %v", r.Best, r.Ratios, r.Verdicts, r.Finalists)
	if r.Final.Reason != "" {
		t.Skipf("void: %s", r.Final.Reason)
	}
	if r.Best != 4 {
		t.Errorf("best is %d, want 4", r.Best)
	}
}

// Programs that move the packet's start are raced on frames.
func TestRaceOfDriftingPrograms(t *testing.T) {
	kerneltest.Require(t)
	drift := func(n int) Subject {
		insns := []kerneltest.Insn{kerneltest.Mov(2, -20), kerneltest.Call(44), kerneltest.Mov(0, 3)}
		for range n {
			insns = append(insns, kerneltest.Mul(0, 7))
		}
		return subject("drift", kerneltest.XDP, append(insns, kerneltest.Mov(0, 1), kerneltest.Exit)...)
	}
	r, err := RaceSubjects(context.Background(), []Subject{drift(200), drift(20)}, RaceOptions{
		Inputs: randomInputs(100), Paths: 1, Latency: brief(LatencyOptions{Seed: 1, Retries: 3}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("best %d, ratios %.2f, %+v", r.Best, r.Ratios, r.Final.Rivals)
	if !r.OnFrames {
		t.Error("not raced on frames")
	}
	if r.Final.Reason == "" && (r.Best != 1 || r.Verdicts[1] != Faster) {
		t.Errorf("best is %d, verdicts %v", r.Best, r.Verdicts)
	}
}

func TestRaceChoice(t *testing.T) {
	for _, c := range []struct {
		verdicts []Verdict
		changes  [2]Interval
		want     int
	}{
		{[]Verdict{NoDifference, Faster, Faster}, [2]Interval{{-1, -1.2, -0.8}, {-2, -2.2, -1.8}}, 2},
		{[]Verdict{NoDifference, Faster, Faster}, [2]Interval{{-1, -1.5, -0.5}, {-1.2, -1.6, -0.8}}, 1},
		{[]Verdict{NoDifference, NoDifference, Faster}, [2]Interval{{0, -1, 1}, {-0.5, -0.9, -0.1}}, 1},
		{[]Verdict{NoDifference, Slower, NoDifference}, [2]Interval{{2, 1, 3}, {-0.1, -1, 1}}, 2},
		{[]Verdict{NoDifference, Slower, Slower}, [2]Interval{{2, 1, 3}, {1, 0.5, 2}}, 0},
		{[]Verdict{NoDifference, Void, Void}, [2]Interval{}, 1},
	} {
		r := RaceResult{Verdicts: c.verdicts, Final: &LatencyResult{Rivals: []Diff{{Change: c.changes[0]}, {Change: c.changes[1]}}}}
		if got := r.choose([]int{1, 2}); got != c.want {
			t.Errorf("%v %v: %d, want %d", c.verdicts, c.changes, got, c.want)
		}
	}
}

func TestRaceOfTracepoints(t *testing.T) {
	kerneltest.Require(t)
	p := subject("tp", 5, kerneltest.Mov(0, 0), kerneltest.Exit)
	_, err := RaceSubjects(context.Background(), []Subject{p, p}, RaceOptions{Inputs: randomInputs(10)})
	if !errors.Is(err, ErrNotMeasurable) {
		t.Errorf("got %v, want ErrNotMeasurable", err)
	}
}

// Packets that take different paths are told apart, by weight.
func TestRepresentatives(t *testing.T) {
	kerneltest.Require(t)
	raw := kerneltest.Raw
	s := counting("paths", 2, raw(0x71, 1, 7, 0, 0), raw(0x55, 1, 0, 1, 5), kerneltest.Mov(0, 1))
	inputs := make([]Input, 100)
	for i := range inputs {
		inputs[i].Data = make([]byte, 60)
		if i%10 == 3 {
			inputs[i].Data[0] = 5
		}
	}
	got, err := Representatives(context.Background(), s, inputs, 8)
	if err != nil || len(got) != 2 || got[0].Weight != 0.9 || got[1].Weight != 0.1 || got[1].Data[0] != 5 {
		t.Errorf("%d paths, %v", len(got), err)
	}
}
