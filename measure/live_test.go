package measure

import (
	"context"
	"errors"
	"testing"

	"github.com/superbpf/superbpf/loader/kerneltest"
)

// dropping is multiplications with XDP_DROP at the end.
func dropping(name string, n int) Subject {
	insns := []kerneltest.Insn{kerneltest.Mov(0, 3)}
	for range n {
		insns = append(insns, kerneltest.Mul(0, 7))
	}
	return subject(name, kerneltest.XDP, append(insns, kerneltest.Mov(0, 1), kerneltest.Exit)...)
}

func TestThroughputRanksPrograms(t *testing.T) {
	kerneltest.Require(t)
	inSomeTry(t, func(seed uint64) string {
		o := brief(LatencyOptions{Inputs: somePacket, Seed: seed, Retries: 3})
		r, err := Throughput(context.Background(), dropping("base", 300), []Subject{dropping("slow", 900), dropping("fast", 1)}, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("generating %.1f ns, base %.1f ns (%.1f Mpps), control %+v, rivals %+v", r.Floor[0], r.Control.Base.Mid,
			Mpps(r.Control.Base.Mid), r.Control, r.Rivals)
		return ranked(r)
	})
}

// XDP_TX and XDP_PASS are carried out.
func TestThroughputOfVerdicts(t *testing.T) {
	kerneltest.Require(t)
	for _, verdict := range []int32{1, 2, 3} {
		p := subject("p", kerneltest.XDP, kerneltest.Mov(0, verdict), kerneltest.Exit)
		o := brief(LatencyOptions{Inputs: somePacket, Seed: 1})
		o.Loads, o.Epochs, o.Rounds = 2, 1, 3
		r, err := Throughput(context.Background(), p, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("verdict %d: %.1f ns a packet at the receiver; %d of %d frames", verdict, r.Control.Base.Mid, r.Received, r.Sent)
		if r.Sent == 0 || r.Received < r.Sent*999/1000 {
			t.Errorf("verdict %d: %d of %d frames arrived", verdict, r.Received, r.Sent)
		}
		if r.Control.Base.Mid <= 0 {
			t.Errorf("verdict %d costs %v", verdict, r.Control.Base.Mid)
		}
	}
}

func TestThroughputNeedsXDP(t *testing.T) {
	kerneltest.Require(t)
	p := subject("p", kerneltest.SchedCLS, kerneltest.Mov(0, 0), kerneltest.Exit)
	if _, err := Throughput(context.Background(), p, nil, LatencyOptions{Inputs: somePacket}); !errors.Is(err, ErrNotMeasurable) {
		t.Errorf("got %v, want ErrNotMeasurable", err)
	}
}
