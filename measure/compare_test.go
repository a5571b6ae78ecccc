package measure

import (
	"context"
	"testing"

	"github.com/superbpf/superbpf/loader/kerneltest"
)

func TestCompareExitCodes(t *testing.T) {
	kerneltest.Require(t)
	slow, fast := multiplications("slow", kerneltest.XDP, 200), multiplications("fast", kerneltest.XDP, 50)
	drop := subject("drop", kerneltest.XDP, kerneltest.Mov(0, 1), kerneltest.Exit)
	tp := subject("tp", 5, kerneltest.Mov(0, 0), kerneltest.Exit)
	for _, c := range []struct {
		a, b Subject
		want int
	}{
		{slow, fast, ExitSame},
		{fast, slow, ExitSlower},
		{fast, drop, ExitDifferent},
		{tp, tp, ExitSame},
	} {
		r, err := Compare(context.Background(), c.a, c.b, CompareOptions{
			Differ:  DifferOptions{Inputs: randomInputs(500)},
			Latency: brief(LatencyOptions{Inputs: somePacket, Seed: 5, Retries: 3}),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(r)
		if r.Latency != nil && r.Latency.Reason != "" {
			continue
		}
		if got := r.ExitCode(); got != c.want {
			t.Errorf("%s against %s: exit code %d, want %d", c.a.Name, c.b.Name, got, c.want)
		}
		if c.a.Name == "tp" && r.Unmeasured == "" {
			t.Error("nothing says that tracepoints are not measurable")
		}
	}
}
