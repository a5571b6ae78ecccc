package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// rateOutcome is how many packets a program takes, before and after.
type rateOutcome struct {
	LossFree    [2]float64 // highest rate without loss, Mpps
	SenderBound bool       // the sender could offer no more
	Points      []loadOutcome
}

// loadOutcome is what packets met at an offered load, before and after.
type loadOutcome struct {
	Load      string     // as in the paper's Table 3
	Mpps      float64    // asked for
	Mean, P99 [2]float64 // waiting time in microseconds
	Loss      [2]float64 // share of packets
}

// repeatsOfRates is how often rates and waiting times are measured, input and output
// in turn: a virtual machine that stops for a moment spoils a trial.
const repeatsOfRates = 3

// inPaper reports whether Table 2 or 3 has the program.
func inPaper(program string) bool {
	rates, err := benchmarks.PaperRates()
	if err != nil {
		return false
	}
	latencies, err := benchmarks.PaperLatencies()
	return err == nil && (slices.ContainsFunc(rates, func(r benchmarks.PaperRate) bool { return r.Program == program }) ||
		slices.ContainsFunc(latencies, func(l benchmarks.PaperLatency) bool { return l.Program == program }))
}

// frameOutcome measures an XDP program with real frames of its commonest path.
func frameOutcome(ctx context.Context, key string, s *benchSettings, b *benchmarks.Bench, x, y measure.Subject, in measure.Input, o *outcome, log measure.Log) error {
	lo := measure.Quick(measure.LatencyOptions{Inputs: []measure.Input{in}, Seed: uint64(s.seed)})
	rates := s.rates || inPaper(b.Paper)
	if rates && !s.quick {
		lo.Epochs, lo.Rounds = 4, 12
	}
	t, err := measure.Throughput(ctx, x, []measure.Subject{y}, lo)
	if err != nil {
		o.LiveVerdict = "not measured: " + err.Error()
		return nil
	}
	if s.iface != "" {
		if err := onInterface(ctx, key, s, x, y, o, log); err != nil {
			return err
		}
	}
	r := t.Rivals[0]
	o.LiveVerdict = r.Verdict.String()
	o.Live = [2]float64{r.Base.Mid, r.Rival.Mid}
	o.LiveRatio = ratio(r)
	rec, err := measure.NewRecord(measure.KindThroughput, key, uint64(s.seed), measure.CurrentEnv(), t, x, y)
	if err != nil {
		return err
	}
	if err := log.Write(rec); err != nil || !rates {
		return err
	}
	o.Rates, err = ratesOf(ctx, key, s, [2]measure.Subject{x, y}, in, log)
	if errors.Is(err, testbed.ErrOneCPU) || errors.Is(err, measure.ErrLossy) {
		return nil // the table has no row
	}
	return err
}

// sideKey names the records of a program's input (0) or output (1).
func sideKey(key string, side int) string {
	return fmt.Sprintf("%s.%s", key, []string{"before", "after"}[side])
}

// ratesOf searches the highest rates without loss and measures waiting times at
// loads that are the same for both.
func ratesOf(ctx context.Context, key string, s *benchSettings, sides [2]measure.Subject, in measure.Input, log measure.Log) (*rateOutcome, error) {
	repeats := repeatsOfRates
	if s.quick {
		repeats = 1
	}
	out := new(rateOutcome)
	var records [2][]*measure.Record
	keep := func(kind string, side int, data any) error {
		rec, err := measure.NewRecord(kind, sideKey(key, side), uint64(s.seed), measure.CurrentEnv(), data, sides[side])
		records[side] = append(records[side], rec)
		return err
	}
	flush := func() error {
		err := errors.Join(log.Write(records[0]...), log.Write(records[1]...))
		records = [2][]*measure.Record{}
		return err
	}
	for n := range repeats {
		for k := range sides {
			side := (n + k) % 2
			r, err := measure.LossFreeRate(ctx, sides[side], in, measure.RateOptions{})
			if err != nil {
				return nil, err
			}
			// Whatever disturbs a search lowers what it finds.
			if r.Mpps > out.LossFree[side] {
				out.LossFree[side] = r.Mpps
				out.SenderBound = out.SenderBound || r.SenderBound
			}
			if err := keep(measure.KindRate, side, r); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	slow, fast := min(out.LossFree[0], out.LossFree[1]), max(out.LossFree[0], out.LossFree[1])
	high := int(math.Round(100 * fast / slow))
	loads := []string{"low", "medium", "high", "saturating"}
	percents := []int{90, 100, high, high + 10}
	var points [2][4][]measure.LoadPoint
	for n := range repeats {
		for k := range sides {
			side := (n + k) % 2
			c, err := measure.LoadCurve(ctx, sides[side], in, slow, percents, nil)
			if err != nil {
				return nil, err
			}
			for i, p := range c.Points {
				points[side][i] = append(points[side][i], p)
			}
			if err := keep(measure.KindLoad, side, c); err != nil {
				return nil, err
			}
		}
	}
	for i, load := range loads {
		p := loadOutcome{Load: load, Mpps: slow * float64(percents[i]) / 100}
		for side := range sides {
			// The middle one by its mean.
			list := points[side][i]
			slices.SortFunc(list, func(a, b measure.LoadPoint) int { return cmp.Compare(a.Mean(), b.Mean()) })
			m := list[len(list)/2]
			p.Mean[side], p.P99[side], p.Loss[side] = m.Mean()/1000, m.Quantile(0.99)/1000, m.Loss()
		}
		out.Points = append(out.Points, p)
	}
	return out, flush()
}
