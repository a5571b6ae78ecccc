package measure

import (
	"context"
	"errors"
	"testing"

	"github.com/superbpf/superbpf/loader/kerneltest"
)

func TestQuantile(t *testing.T) {
	p := LoadPoint{Waited: []uint64{0, 50, 40, 9, 0, 1}}
	for q, want := range map[float64]float64{0.5: 2 * WaitUnit, 0.9: 3 * WaitUnit, 0.99: 4 * WaitUnit, 0.999: 6 * WaitUnit} {
		if got := p.Quantile(q); got != want {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
	if got := p.Mean(); got != (50*1.5+40*2.5+9*3.5+5.5)/100*WaitUnit {
		t.Errorf("mean %v", got)
	}
	if (LoadPoint{}).Quantile(0.5) != 0 || (LoadPoint{}).Mean() != 0 {
		t.Error("no packets, but a time")
	}
}

// Every packet that arrives is counted once, whatever the program does with it.
func TestLoadCurve(t *testing.T) {
	kerneltest.Require(t)
	heavy := func(verdict int32) Subject {
		insns := []kerneltest.Insn{kerneltest.Mov(0, 3)}
		for range 3000 { // some 3 µs
			insns = append(insns, kerneltest.Mul(0, 7))
		}
		return subject("heavy", kerneltest.XDP, append(insns, kerneltest.Mov(0, verdict), kerneltest.Exit)...)
	}
	for _, verdict := range []int32{1, 2, 3} {
		r, err := LoadCurve(context.Background(), heavy(verdict), somePacket[0], 0.25, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Points {
			var counted uint64
			for _, n := range p.Waited {
				counted += n
			}
			t.Logf("%d %%: %.3f of %.3f Mpps, loss %.4f, p50 %.0f ns, p99 %.0f ns", p.Percent, p.Offered, p.Target, p.Loss(), p.Quantile(0.5), p.Quantile(0.99))
			// The interface itself sends a packet now and then.
			const strays = 5
			if p.Received == 0 || counted+strays < p.Received || counted > p.Received+strays {
				t.Errorf("%d packets came, %d were counted", p.Received, counted)
			}
		}
		if len(r.Points) != len(Loads) {
			t.Errorf("%d points", len(r.Points))
		}
	}
	if _, err := LoadCurve(context.Background(), subject("p", kerneltest.SchedCLS, kerneltest.Mov(0, 0), kerneltest.Exit), somePacket[0], 1, nil, nil); !errors.Is(err, ErrNotMeasurable) {
		t.Errorf("got %v, want ErrNotMeasurable", err)
	}
}
