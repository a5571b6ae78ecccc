package measure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/loader/kerneltest"
)

func TestRacePicksTheFastest(t *testing.T) {
	kerneltest.Require(t)
	var subjects []Subject
	for _, n := range []int{2000, 3000, 1500, 4000, 600} {
		subjects = append(subjects, multiplications("p", kerneltest.XDP, n))
	}
	inSomeTry(t, func(seed uint64) string {
		r, err := RaceSubjects(context.Background(), subjects, RaceOptions{
			Inputs: randomInputs(100), Paths: 1, Finalists: 2, Latency: brief(LatencyOptions{Seed: seed, Retries: 3}),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("best %d, ratios %.2f, verdicts %v, finalists %v, void: %q", r.Best, r.Ratios, r.Verdicts, r.Finalists, r.Final.Reason)
		if r.Best != 4 {
			return fmt.Sprintf("best is %d, want 4", r.Best)
		}
		return ""
	})
}

// Races between programs whose times are given.
func TestRaceOnGivenTimes(t *testing.T) {
	for _, c := range []struct {
		name      string
		times     []float64 // the first is the original's; below 0: as much in the first session, then like it
		finalists int
		void      bool
		best      int
		sessions  string // the rivals of each
	}{
		{"the fastest of many comes through the heats", []float64{100, 90, 80, 120, 70, 95, 99, 60, 130}, 2, false, 7, "123456 78 1247 47"},
		{"no heat for few", []float64{100, 90, 80}, 3, false, 2, "12"},
		{"all slower", []float64{100, 110, 120}, 3, false, 0, "12 12"},
		{"slower once only", []float64{100, -110}, 3, false, 1, "1 1"},
		{"a void final leaves the order of preference", []float64{100, 110, 80}, 3, true, 1, "12"},
	} {
		t.Run(c.name, func(t *testing.T) {
			subjects := make([]Subject, len(c.times))
			for i := range subjects {
				subjects[i].Name = fmt.Sprint(i)
			}
			var asked []string
			o := RaceOptions{Finalists: c.finalists}
			o.latency = func(_ context.Context, _ Subject, rivals []Subject, _ LatencyOptions) (*LatencyResult, error) {
				r, who := new(LatencyResult), ""
				for _, s := range rivals {
					i := int(s.Name[0] - '0')
					who += s.Name
					now := c.times[i]
					if now < 0 {
						now, c.times[i] = -now, c.times[0]
					}
					d := now - c.times[0]
					diff := Diff{Base: Interval{100, 99, 101}, Rival: Interval{now, now - 1, now + 1}, Change: Interval{d, d - 1, d + 1}}
					if !c.void {
						diff.Verdict = DefaultThresholds.decide(diff)
					}
					r.Rivals = append(r.Rivals, diff)
				}
				asked = append(asked, who)
				return r, nil
			}
			n := len(subjects)
			r := &RaceResult{Verdicts: make([]Verdict, n), Changes: make([]float64, n), Ratios: make([]float64, n)}
			if err := r.run(context.Background(), subjects, o); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(asked, " "); r.Best != c.best || got != c.sessions {
				t.Errorf("best %d after sessions %q, want %d after %q", r.Best, got, c.best, c.sessions)
			}
		})
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
	inSomeTry(t, func(seed uint64) string {
		r, err := RaceSubjects(context.Background(), []Subject{drift(600), drift(20)}, RaceOptions{
			Inputs: randomInputs(100), Paths: 1, Latency: brief(LatencyOptions{Seed: seed, Retries: 3}),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("best %d, ratios %.2f, %+v", r.Best, r.Ratios, r.Final.Rivals)
		if !r.OnFrames {
			t.Error("not raced on frames")
		}
		if r.Best != 1 || r.Verdicts[1] != Faster {
			return fmt.Sprintf("best is %d, verdicts %v, void: %q", r.Best, r.Verdicts, r.Final.Reason)
		}
		return ""
	})
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
