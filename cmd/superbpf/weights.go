package main

import (
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/measure/mapstate"
	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/profile"
)

// trafficOf is what the optimizer weighs paths by: the inputs that the program
// is measured on, and what its maps hold.
func trafficOf(in []measure.Input, states []mapstate.State) profile.Traffic {
	t := profile.Traffic{Maps: map[string][]interp.Entry{}}
	for _, i := range in {
		if len(i.Ctx) > 0 {
			t.Contexts = append(t.Contexts, i.Ctx)
		} else {
			t.Packets = append(t.Packets, i.Data)
		}
	}
	for _, s := range states {
		for _, e := range s.Entries {
			if !e.Deferred() {
				t.Maps[s.Name] = append(t.Maps[s.Name], interp.Entry{Key: e.Key, Value: e.Value})
			}
		}
	}
	return t
}
