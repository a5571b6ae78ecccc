package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
)

// onFrames does what measure was asked to do with real frames.
func (s *measureSettings) onFrames(ctx context.Context, stdout, stderr io.Writer, name string, x, y measure.Subject, in, paths []measure.Input, r *recorder) error {
	if s.throughput {
		fmt.Fprintln(stderr, "frames over a veth pair")
		o := measure.LatencyOptions{Inputs: paths, Seed: uint64(s.seed)}
		if s.quick {
			o = measure.Quick(o)
		}
		t, err := measure.Throughput(ctx, x, []measure.Subject{y}, o)
		if err != nil {
			return err
		}
		d := t.Rivals[0]
		fmt.Fprintf(stdout, "%s: on frames %.1f -> %.1f ns a packet, %.2f -> %.2f Mpps of one core, %v %s\n", name,
			d.Base.Mid, d.Rival.Mid, measure.Mpps(d.Base.Mid), measure.Mpps(d.Rival.Mid), d.Verdict, t.Reason)
		if err := r.add(measure.KindThroughput, name, t, x, y); err != nil {
			return err
		}
	}
	if s.lossFree || s.loadCurve {
		if err := s.rates(ctx, stdout, stderr, name, x, y, paths[0], r); err != nil {
			return err
		}
	}
	if s.iface == "" {
		return nil
	}
	fmt.Fprintln(stderr, "on", s.iface)
	stop, err := s.fromPeer(ctx, in)
	if err != nil {
		return err
	}
	t, err := measure.OnInterface(ctx, x, []measure.Subject{y}, measure.InterfaceOptions{Iface: s.iface, Seed: uint64(s.seed),
		XDP: loader.XDPOptions{Mode: loader.XDPNative, Force: s.forceIface, Fallback: s.generic}})
	if perr := stop(); perr != nil && (err == nil || errors.Is(err, measure.ErrNoTraffic)) {
		return perr
	}
	switch {
	case errors.Is(err, loader.ErrDefaultRoute):
		return fmt.Errorf("%w: a program that drops packets would cut the host off; --force-iface does it all the same", err)
	case errors.Is(err, loader.ErrNoNativeXDP):
		return fmt.Errorf("%w: --generic allows generic mode, whose figures are not those of native mode", err)
	case err != nil:
		return err
	}
	d := t.Rivals[0]
	fmt.Fprintf(stdout, "%s: on %s (%s): %.1f -> %.1f ns a packet, %v, %d packets %s\n", name, t.Iface, t.Mode, d.Base.Mid, d.Rival.Mid, d.Verdict, t.Packets, t.Reason)
	return r.add(kindInterface, name, t, x, y)
}

// rates searches the highest loss-free rates, A's and B's in turn, and draws both
// curves at loads in relation to A's.
func (s *measureSettings) rates(ctx context.Context, stdout, stderr io.Writer, name string, x, y measure.Subject, in measure.Input, r *recorder) error {
	fmt.Fprintln(stderr, "searching the highest rate without loss")
	var found [2]*measure.RateResult
	for i, sub := range []measure.Subject{x, y} {
		var err error
		if found[i], err = measure.LossFreeRate(ctx, sub, in, measure.RateOptions{}); err != nil {
			return err
		}
		if err := r.add(measure.KindRate, fmt.Sprintf("%s.%d", name, i), found[i], sub); err != nil {
			return err
		}
	}
	bound := ""
	if found[0].SenderBound || found[1].SenderBound {
		bound = "; the sender could offer no more"
	}
	fmt.Fprintf(stdout, "%s: highest rate without loss %.2f -> %.2f Mpps%s\n", name, found[0].Mpps, found[1].Mpps, bound)
	if !s.loadCurve {
		return nil
	}
	fmt.Fprintln(stderr, "waiting times by load")
	for i, sub := range []measure.Subject{x, y} {
		curve, err := measure.LoadCurve(ctx, sub, in, found[0].Mpps, nil, nil)
		if err != nil {
			return err
		}
		for _, p := range curve.Points {
			fmt.Fprintf(stdout, "%s: %s: %3d %%: %.3f Mpps offered, loss %.2f %%, waits p50 %.2f p99 %.2f us\n", name, sub.Name, p.Percent, p.Offered,
				100*p.Loss(), p.Quantile(0.5)/1000, p.Quantile(0.99)/1000)
		}
		if err := r.add(measure.KindLoad, fmt.Sprintf("%s.%d", name, i), curve, sub); err != nil {
			return err
		}
	}
	return nil
}

// recorder keeps the records of a measurement if a folder was named for them.
type recorder struct {
	out  string
	seed uint64
	log  measure.Log
}

func newRecorder(out string, seed uint64) *recorder {
	return &recorder{out, seed, measure.Log{Dir: newRunDir(out)}}
}

func (r *recorder) add(kind, key string, data any, programs ...measure.Subject) error {
	if r.out == "" {
		return nil
	}
	rec, err := measure.NewRecord(kind, key, r.seed, measure.CurrentEnv(), data, programs...)
	if err != nil {
		return err
	}
	return r.log.Write(rec)
}

// tables generates the tables from the records.
func (r *recorder) tables() error {
	if r.out == "" {
		return nil
	}
	for kind, tabulate := range measure.Tables {
		records, err := r.log.Read(kind)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			continue
		}
		t, err := tabulate(records)
		if err != nil {
			return err
		}
		if err := writeTables(r.out, kind, "", t); err != nil {
			return err
		}
	}
	return nil
}
