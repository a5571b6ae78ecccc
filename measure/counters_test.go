package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
)

// A counter's figures are events per run. The one that every host has counts ns of
// CPU time, so it must tell what the clock tells.
func TestCountersCountRuns(t *testing.T) {
	kerneltest.Require(t)
	inSomeTry(t, func(seed uint64) string {
		o := brief(LatencyOptions{Inputs: somePacket, Seed: seed, Counters: []loader.Counter{loader.TaskClock}})
		r, err := Latency(context.Background(), multiplications("base", kerneltest.XDP, 1000), []Subject{multiplications("twice", kerneltest.XDP, 2000)}, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Counters) != 1 || r.Counters[0].Name != "task-clock" || len(r.Counts) != len(r.Samples) {
			t.Fatalf("%d counters, counts of %d samples, want 1 and %d", len(r.Counters), len(r.Counts), len(r.Samples))
		}
		c, d := r.Counters[0].Rivals[0], r.Rivals[0]
		t.Logf("clock %.0f -> %.0f, counter %.0f -> %.0f ns a run", d.Base.Mid, d.Rival.Mid, c.Base.Mid, c.Rival.Mid)
		if math.Abs(c.Change.Mid-d.Change.Mid) > d.Change.Mid/4 {
			return fmt.Sprintf("the counter says %+.0f, the clock %+.0f", c.Change.Mid, d.Change.Mid)
		}
		rec, err := NewRecord(KindLatency, "p", seed, CurrentEnv(), r)
		if err != nil {
			t.Fatal(err)
		}
		table, err := LatencyTable([]*Record{rec})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := table.TSV(&b); err != nil || !strings.Contains(b.String(), "task-clock before\ttask-clock after") {
			t.Errorf("the table has no columns of the counter: %s, %v", b.String(), err)
		}
		if s := (&Comparison{A: "a", B: "b", Latency: r}).String(); !strings.Contains(s, "task-clock a run: ") {
			t.Errorf("the account has no counter: %s", s)
		}
		return ""
	})
}

// Hardware counters are used where the host has them, and not missed where it has none.
func TestHardwareCounters(t *testing.T) {
	kerneltest.Require(t)
	r, err := Latency(context.Background(), multiplications("base", kerneltest.XDP, 100), nil, brief(LatencyOptions{Inputs: somePacket}))
	if err != nil {
		t.Fatal(err)
	}
	if has := loader.HasPMU(); has && len(r.Counters) != len(loader.HardwareCounters) || !has && len(r.Counters) != 0 {
		t.Errorf("%d counters; the host has a PMU: %v", len(r.Counters), has)
	}
	o := brief(LatencyOptions{Inputs: somePacket, Counters: loader.HardwareCounters})
	if _, err := Latency(context.Background(), multiplications("base", kerneltest.XDP, 100), nil, o); !loader.HasPMU() && !errors.Is(err, loader.ErrNoCounters) {
		t.Errorf("counters that were asked for and are not there: %v", err)
	}
}

// Two sessions do not run at once, and one does not wait for ever, nor past its context.
func TestSessionsTakeTurns(t *testing.T) {
	release, alone, err := lockHost(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !alone {
		t.Skip("another measurement holds the host")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := lockHost(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a second session got the host: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	release, _, err = lockHost(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	release()
}
