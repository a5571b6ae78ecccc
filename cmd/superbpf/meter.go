package main

import (
	"context"
	"fmt"

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
}

func (m meter) Race(ctx context.Context, program string, objects [][]byte) (pipeline.Ranking, error) {
	r, err := measure.Race(ctx, program, objects, measure.RaceOptions{Inputs: m.inputs, Maps: m.maps,
		Latency: m.options})
	if err != nil {
		return pipeline.Ranking{}, err
	}
	note := "measured "
	if r.Best == 0 {
		note += "slower than the input in every form"
	} else {
		note += r.Verdicts[r.Best].String()
		if ratio := r.Ratios[r.Best]; ratio > 0 {
			note += fmt.Sprintf(", %.3f of the input's time", ratio)
		} else {
			note += fmt.Sprintf(", %+.2f ns", r.Changes[r.Best]) // too short for a ratio
		}
	}
	return pipeline.Ranking{Best: r.Best, Slower: r.Verdicts[1] == measure.Slower, Note: note}, nil
}

// Slower asks two sessions: one in forty says so of equals.
func (m meter) Slower(ctx context.Context, program string, than, object []byte) (bool, error) {
	x, y := measure.FromObject("input", than, program, m.maps), measure.FromObject("output", object, program, m.maps)
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
