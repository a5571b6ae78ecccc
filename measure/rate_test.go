package measure

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/superbpf/superbpf/loader/kerneltest"
)

// device loses what exceeds its capacity; its sender goes up to a limit.
func device(capacity, sender float64) func(float64) (Trial, error) {
	return func(mpps float64) (Trial, error) {
		t := Trial{Target: mpps, Offered: min(mpps, sender), Sent: 1_000_000}
		t.Received = uint64(1e6 * min(1, capacity/t.Offered))
		return t, nil
	}
}

func TestSearchRate(t *testing.T) {
	for _, c := range []struct {
		capacity, sender, want float64
		bound                  bool
	}{
		{5, 100, 5, false},
		{5, 5.2, 5, false},
		{50, 8, 8, true},
		{0.2, 8, 0.2, false},
	} {
		r, err := SearchRate(context.Background(), device(c.capacity, c.sender), RateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(r.Mpps/c.want-1) > 0.025 || r.SenderBound != c.bound {
			t.Errorf("capacity %v, sender %v: %v Mpps, bound %v", c.capacity, c.sender, r.Mpps, r.SenderBound)
		}
	}
	if _, err := SearchRate(context.Background(), device(0.01, 8), RateOptions{}); !errors.Is(err, ErrLossy) {
		t.Errorf("got %v, want ErrLossy", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := SearchRate(ctx, device(5, 8), RateOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}

// Any real program has a rate that the receiver keeps up with, and a slow one a
// lower rate than the sender's.
func TestLossFreeRate(t *testing.T) {
	kerneltest.Require(t)
	for _, p := range []Subject{dropping("light", 1), dropping("heavy", 600)} {
		r, err := LossFreeRate(context.Background(), p, somePacket[0], RateOptions{Precision: 0.1, Tolerance: 0.01})
		if errors.Is(err, ErrLossy) {
			t.Skipf("noisy machine: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.2f Mpps, bound by the sender: %v, %d trials, the last %+v", p.Name, r.Mpps, r.SenderBound, len(r.Trials), r.Trials[len(r.Trials)-1])
		for _, tr := range r.Trials {
			// The first batch goes at once: one more than the time has gaps for.
			if tr.Offered > tr.Target*1.05 {
				t.Errorf("offered %.3f Mpps instead of %.3f", tr.Offered, tr.Target)
			}
		}
	}
}
