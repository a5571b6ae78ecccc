package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/measure/mapstate"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/traffic"
	"github.com/superbpf/superbpf/traffic/profile"
)

// meter lets the pipeline measure candidates in the kernel.
type meter struct {
	inputs  []measure.Input
	maps    []mapstate.State
	options measure.LatencyOptions // of the final heat
	typ     string                 // of programs whose section gives none
}

func (m meter) Race(ctx context.Context, program string, objects [][]byte) (pipeline.Ranking, error) {
	r, err := measure.Race(ctx, program, objects, measure.RaceOptions{Inputs: m.inputs, Maps: m.maps, Type: m.typ,
		Latency: m.options})
	if err != nil {
		return pipeline.Ranking{}, err
	}
	out := pipeline.Ranking{Best: r.Best, Slower: r.Verdicts[1] == measure.Slower, Measured: make([]pipeline.Measurement, len(objects))}
	if !r.OnFrames && r.Final.Reason == "" {
		for k, i := range r.Finalists {
			c := r.Final.Rivals[k].Change
			out.Measured[i] = pipeline.Measurement{Change: c.Mid, Error: (c.High - c.Low) / (2 * normal95), OK: true}
		}
	}
	switch i := slices.Index(r.Finalists, r.Best); {
	case r.Best == 0:
		out.Note = "measured slower than the input in every form"
	case i < 0:
		out.Note = "measured " + r.Verdicts[r.Best].String()
	default:
		out.Note = raceNote(r.Final.Rivals[i])
	}
	return out, nil
}

// normal95 is half the width of a 95 % interval in standard errors.
const normal95 = 1.96

// raceNote says how a program compares with the input.
func raceNote(d measure.Diff) string {
	note := "measured " + d.Verdict.String()
	if mid, low, high, ok := d.Ratio(); ok {
		return note + fmt.Sprintf(": %.3f of the input's time (95 %%: %.3f to %.3f)", mid, low, high)
	}
	// Too short for a ratio.
	return note + fmt.Sprintf(": %+.2f ns (95 %%: %+.2f to %+.2f)", d.Change.Mid, d.Change.Low, d.Change.High)
}

// Slower asks two sessions: one in forty says so of equals.
func (m meter) Slower(ctx context.Context, program string, than, object []byte) (bool, error) {
	x, y := measure.FromObjectAs("input", than, program, m.typ, m.maps), measure.FromObjectAs("output", object, program, m.typ, m.maps)
	paths, err := measure.Representatives(ctx, x, m.inputs, 6)
	if err != nil {
		return false, err
	}
	o := measure.Quick(m.options)
	o.Inputs = paths
	for range 2 {
		r, err := measure.Latency(ctx, x, []measure.Subject{y}, o)
		if err != nil || r.Rivals[0].Verdict != measure.Slower {
			return false, err
		}
		o.Seed++
	}
	return true, nil
}

// inputs are the packets to run programs on: those of a capture, or the
// default mix, each with random ones between them.
func inputs(pcap string, seed uint64, n int) ([]measure.Input, error) {
	if pcap == "" {
		p, err := traffic.DefaultProfile()
		if err != nil {
			return nil, err
		}
		return mixed(p, seed, n)
	}
	own, err := traffic.ReadPCAPFile(pcap, traffic.Limits{})
	if err != nil {
		return nil, err
	}
	if len(own) == 0 {
		return nil, fmt.Errorf("%s holds no packets", pcap)
	}
	return measure.Packets(traffic.Blend(own, seed, n, nil)), nil
}

// mixed makes packets around a profile.
func mixed(p *profile.Profile, seed uint64, n int) ([]measure.Input, error) {
	packets, err := traffic.Mixed(p, seed, n, nil)
	return measure.Packets(packets), err
}
