package measure

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
)

// subject makes a program from instructions, without maps.
func subject(name string, progType uint32, insns ...kerneltest.Insn) Subject {
	return Subject{Name: name, Hash: name, Load: func() (*Instance, error) {
		p, err := loader.LoadRaw(progType, kerneltest.Insns(insns...), loader.RawOptions{Name: name})
		if err != nil {
			return nil, err
		}
		return &Instance{FD: p.FD(), Close: p.Close}, nil
	}}
}

// multiplications makes a program that takes about 1 ns for each.
func multiplications(name string, progType uint32, n int) Subject {
	insns := []kerneltest.Insn{kerneltest.Mov(0, 3)}
	for range n {
		insns = append(insns, kerneltest.Mul(0, 7))
	}
	return subject(name, progType, append(insns, kerneltest.Mov(0, 2), kerneltest.Exit)...)
}

// brief keeps tests short: enough for differences of several times. Attaching
// and detaching wait for the kernel's grace periods, so few loads.
func brief(o LatencyOptions) LatencyOptions {
	o.Loads, o.Epochs, o.Rounds, o.Sample = 2, 2, 5, 200*time.Microsecond
	o.Retries = min(o.Retries, 1)
	return o
}

var somePacket = []Input{{Name: "zeros", Data: make([]byte, 64)}}

// inSomeTry runs a measurement with several seeds until it says what it must: a
// busy machine may hide even a large difference from one session, not from all.
func inSomeTry(t *testing.T, measure func(seed uint64) (wrong string)) {
	t.Helper()
	const tries = 5
	wrong := ""
	for seed := range uint64(tries) {
		if wrong = measure(seed + 1); wrong == "" {
			return
		}
		t.Logf("try %d: %s", seed+1, wrong)
	}
	t.Errorf("in each of %d tries; at last: %s", tries, wrong)
}

// ranked says what is wrong with a session whose first rival must be slower and
// whose second must be faster.
func ranked(r *LatencyResult) string {
	switch {
	case r.Reason != "":
		return "void: " + r.Reason
	case r.Rivals[0].Verdict != Slower || r.Rivals[1].Verdict != Faster:
		return fmt.Sprintf("verdicts %v, %v", r.Rivals[0].Verdict, r.Rivals[1].Verdict)
	}
	return ""
}

func TestLatencyRanksPrograms(t *testing.T) {
	kerneltest.Require(t)
	for _, progType := range []uint32{kerneltest.XDP, kerneltest.SchedCLS} {
		inSomeTry(t, func(seed uint64) string {
			o := brief(LatencyOptions{Inputs: somePacket, Seed: seed, Retries: 3})
			r, err := Latency(context.Background(), multiplications("base", progType, 600), []Subject{
				multiplications("twice", progType, 1200),
				multiplications("half", progType, 300),
			}, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: floor %.2f, control %+v, rivals %+v", r.Type, r.Floor, r.Control, r.Rivals)
			if r.Fresh[0] {
				t.Error("a program that leaves the packet alone is not seen as steady")
			}
			return ranked(r)
		})
	}
}

// A copy of the base is never called faster or slower in a valid session.
func TestLatencyOfEqualPrograms(t *testing.T) {
	kerneltest.Require(t)
	base := multiplications("base", kerneltest.XDP, 40)
	r, err := Latency(context.Background(), base, []Subject{multiplications("copy", kerneltest.XDP, 40)},
		brief(LatencyOptions{Inputs: somePacket, Seed: 2}))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("control %+v, copy %+v", r.Control, r.Rivals[0])
	if r.Reason != "" {
		t.Skipf("void: %s", r.Reason)
	}
	if d := r.Rivals[0]; d.Verdict != NoDifference && d.Percent() > 5 {
		t.Errorf("%+v", d)
	}
}

// A program whose packet changes with every run gets a new one each time.
func TestLatencyOfDriftingProgram(t *testing.T) {
	kerneltest.Require(t)
	// bpf_xdp_adjust_head(ctx, -8); return the result plus 2.
	drift := subject("drift", kerneltest.XDP, kerneltest.Mov(2, -8), kerneltest.Call(44), kerneltest.Add(0, 2), kerneltest.Exit)
	r, err := Latency(context.Background(), drift, []Subject{drift}, brief(LatencyOptions{Inputs: somePacket, Seed: 3}))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("floor %v, %+v, %v", r.Floor, r.Rivals, r.Reason)
	if !r.Fresh[0] {
		t.Error("the drift went unnoticed")
	}
}

func TestTracepointIsNotMeasurable(t *testing.T) {
	kerneltest.Require(t)
	p := subject("tracepoint", 5, kerneltest.Mov(0, 0), kerneltest.Exit)
	_, err := Latency(context.Background(), p, nil, LatencyOptions{Inputs: []Input{{Ctx: make([]byte, 64)}}})
	if !errors.Is(err, ErrNotMeasurable) {
		t.Errorf("got %v, want ErrNotMeasurable", err)
	}
}

// Loads scatter by several percent, epochs by more; equal programs must come
// out equal and a real difference must be found.
func TestCompareSimulated(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	draw := func(mean float64) loads {
		var l loads
		for range 6 {
			var e []float64
			for range 5 {
				e = append(e, mean*(1+0.02*rng.NormFloat64()))
			}
			l = append(l, e)
		}
		return l
	}
	wrong, found := 0, 0
	const trials = 60
	for i := range trials {
		a := draw(100)
		if DefaultThresholds.decide(compare("equal", a, draw(100), nil, uint64(i))) != NoDifference {
			wrong++
		}
		if DefaultThresholds.decide(compare("faster", a, draw(96), nil, uint64(i))) == Faster {
			found++
		}
	}
	if wrong > 3 {
		t.Errorf("%d of %d equal programs called different", wrong, trials)
	}
	if found < trials*9/10 {
		t.Errorf("%d of %d differences of 4 %% found", found, trials)
	}
}

func TestRatioNeedsCertainty(t *testing.T) {
	good := Diff{Base: Interval{2, 1.9, 2.1}, Relative: Interval{0.9, 0.8, 1.1}, Verdict: NoDifference}
	if mid, low, high, ok := good.Ratio(); !ok || mid != 0.9 || low != 0.8 || high != 1.1 {
		t.Errorf("%v %v %v %v", mid, low, high, ok)
	}
	for what, spoil := range map[string]func(*Diff){
		"void session":         func(d *Diff) { d.Verdict = Void },
		"base of nothing":      func(d *Diff) { d.Base.Low = -0.1 },
		"wide interval":        func(d *Diff) { d.Relative.High = 1.4 },
		"base below the floor": func(d *Diff) { d.Relative = Interval{} },
		"rival of nothing":     func(d *Diff) { d.Relative = Interval{0.1, 0, 0.3} },
	} {
		d := good
		if spoil(&d); func() bool { _, _, _, ok := d.Ratio(); return ok }() {
			t.Errorf("%s: has a ratio", what)
		}
	}
}

// The interval of a ratio holds the true one 19 times in 20, also for programs
// that take no longer than the error of the measuring loop's own time is large.
func TestRatioIntervalCovers(t *testing.T) {
	const trials = 60
	rng := rand.New(rand.NewPCG(5, 6))
	side := func(mean float64) loads {
		out := make(loads, 6)
		for e := range out {
			for range 5 {
				out[e] = append(out[e], mean+0.1*rng.NormFloat64())
			}
		}
		return out
	}
	for _, base := range []float64{0.5, 5, 50} {
		missed := 0
		for i := range trials {
			var floor []float64
			for range 12 {
				floor = append(floor, 6+0.3*rng.NormFloat64())
			}
			off := median(floor) - 6
			d := compare("", side(base-off), side(0.8*base-off), shifted(floor, -median(floor)), uint64(i))
			d.Verdict = NoDifference
			if _, low, high, ok := d.Ratio(); ok && (0.8 < low || 0.8 > high) {
				missed++
			}
		}
		if missed > trials/8 {
			t.Errorf("base of %v ns: %d of %d intervals miss the ratio", base, missed, trials)
		}
	}
}

func TestMeanRatio(t *testing.T) {
	m := MeanRatio([]Interval{{0.5, 0.4, 0.625}, {2, 1.6, 2.5}})
	if math.Abs(m.Mid-1) > 1e-9 || math.Abs(m.Low*m.High-1) > 1e-9 || m.Low < 0.8 || m.Low > 0.9 {
		t.Errorf("%+v", m)
	}
	if m := MeanRatio(nil); m != (Interval{}) {
		t.Errorf("of none: %+v", m)
	}
}
