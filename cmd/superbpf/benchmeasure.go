package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
)

// compareOutcome runs input and output side by side, then times them.
func compareOutcome(ctx context.Context, b *benchmarks.Bench, s *benchSettings, in []measure.Input, before, after []byte, o *outcome, log measure.Log, try int) error {
	if !slices.Contains(s.gates.names, runningKernel) {
		// What other kernels judge this one need not load.
		for _, object := range [][]byte{before, after} {
			if err := loads(object, b.Program); err != nil {
				o.Timing = "does not load here"
				return nil
			}
		}
	}
	key := tryKey(b.Name, try)
	x := measure.FromObject("clang -"+o.Best, before, b.Program, b.States)
	y := measure.FromObject("superbpf", after, b.Program, b.States)
	d, err := measure.Differ(ctx, x, y, measure.DifferOptions{Inputs: in})
	if errors.Is(err, measure.ErrNotMeasurable) {
		o.Timing = "not measurable"
		return nil
	}
	if err != nil {
		return err
	}
	o.Inputs, o.Masked = d.Runs, d.Masked
	if d.Difference != nil {
		o.Differs = d.Difference.String()
	}
	rec, err := measure.NewRecord(measure.KindDiffer, key, uint64(s.seed), measure.CurrentEnv(), d, x, y)
	if err != nil {
		return err
	}
	if err := log.Write(rec); err != nil || o.Differs != "" {
		return err
	}
	paths, err := measure.Representatives(ctx, x, in, 4)
	if err != nil {
		return err
	}
	lo := s.latency()
	lo.Inputs = paths
	l, err := measure.Latency(ctx, x, []measure.Subject{y}, lo)
	if err != nil {
		return err
	}
	if l.Rivals[0].Verdict == measure.Slower {
		// One session in forty says so of equals: only two count.
		lo.Seed++
		if l, err = measure.Latency(ctx, x, []measure.Subject{y}, lo); err != nil {
			return err
		}
	}
	r := l.Rivals[0]
	o.Timing = r.Verdict.String()
	o.Nanos = [2]float64{r.Base.Mid, r.Rival.Mid}
	o.Ratio = ratio(r)
	if rec, err = measure.NewRecord(measure.KindLatency, key, uint64(s.seed), measure.CurrentEnv(), l, x, y); err != nil {
		return err
	}
	if err := log.Write(rec); err != nil || l.Type != "xdp" {
		return err
	}
	return frameOutcome(ctx, key, s, b, x, y, paths[0], o, log)
}

// onInterface attaches input and output in turn to the interface asked for.
func onInterface(ctx context.Context, key string, s *benchSettings, x, y measure.Subject, o *outcome, log measure.Log) error {
	t, err := measure.OnInterface(ctx, x, []measure.Subject{y}, measure.InterfaceOptions{Iface: s.iface, Seed: uint64(s.seed),
		XDP: loader.XDPOptions{Mode: loader.XDPNative, Force: s.forceIface}})
	if errors.Is(err, measure.ErrNoTraffic) {
		o.Iface = "no packets came in on " + s.iface
		return nil
	}
	if err != nil {
		return err
	}
	r := t.Rivals[0]
	o.Iface = fmt.Sprintf("on %s (%s): %.1f -> %.1f ns a packet, %v", t.Iface, t.Mode, r.Base.Mid, r.Rival.Mid, r.Verdict)
	rec, err := measure.NewRecord(kindInterface, key, uint64(s.seed), measure.CurrentEnv(), t, x, y)
	if err != nil {
		return err
	}
	return log.Write(rec)
}

// ratio is the rival's time over the base's with its interval; zero where there is
// no such figure, see measure.Diff.Ratio.
func ratio(d measure.Diff) [3]float64 {
	mid, low, high, _ := d.Ratio()
	return [3]float64{mid, low, high}
}
