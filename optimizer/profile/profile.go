// Package profile finds out how often each instruction of a program runs under
// given traffic, by running it in the interpreter.
//
// Invariant: the result depends on the functions and the traffic alone, and
// every weight is finite and not negative. A function that traffic does not
// reach has the weights that cost.Guess gives it.
package profile

import (
	"encoding/binary"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Traffic is what programs run on.
type Traffic struct {
	// Packets and Contexts are taken in turn; either may be empty.
	Packets, Contexts [][]byte
	// Maps is the initial contents of maps by name.
	Maps map[string][]interp.Entry
}

// MaxRuns is how often a program is run at most: of more packets or contexts that
// many are picked.
const MaxRuns = 256

// Bounds of the work: instructions in a run, and the bytes of maps that are carried
// from run to run.
const (
	maxSteps   = 1 << 16
	maxCarried = 1 << 16
	// Bytes of maps that are set up in all runs of a program, but for the first runs.
	maxSetUp = 1 << 26
	minRuns  = 32
)

// How far to trust a profile against what the code's shape suggests: a program
// whose maps user space would have filled takes other paths while they are
// empty.
const (
	trustFilled = 0.95
	trustEmpty  = 0.6
)

// Weights gives, for every function that a program consists of, the expected
// runs of each instruction in one run of the function.
type Weights map[*prog.Func][]float64

// Carrier gives the weights of what became of the functions: of a rewritten
// function by its name and section.
func (w Weights) Carrier() func(*prog.Func) []float64 {
	byName := map[[2]string][]float64{}
	for f, v := range w {
		byName[[2]string{f.Section, f.Name}] = v
	}
	return func(f *prog.Func) []float64 {
		if v := byName[[2]string{f.Section, f.Name}]; v != nil {
			return cost.Carry(v, f)
		}
		return cost.Guess(f)
	}
}

// Of runs each program of the list on the traffic. Functions are found by name
// with callee. Without traffic all weights are guessed.
func Of(funcs []*prog.Func, callee func(string) *prog.Func, t Traffic) Weights {
	counts := map[*prog.Func][]uint64{}
	trust := map[*prog.Func]float64{}
	for _, f := range funcs {
		if f.Entry && f.Unsupported == "" && len(t.Packets)+len(t.Contexts) > 0 {
			run(f, callee, t, counts, trust)
		}
	}
	out := Weights{}
	for _, f := range funcs {
		if f.Unsupported != "" || len(f.Insns) == 0 {
			continue
		}
		w := cost.Guess(f)
		if c := counts[f]; c != nil && c[0] > 0 {
			for k := range w {
				w[k] = (1-trust[f])*w[k] + trust[f]*float64(c[k])/float64(c[0])
			}
		}
		out[f] = w
	}
	return out
}

// run adds the counts of one program's runs, if most of them come to an end.
func run(f *prog.Func, callee func(string) *prog.Func, t Traffic, counts map[*prog.Func][]uint64, trust map[*prog.Func]float64) {
	group := reach(f, callee)
	m := interp.New()
	m.Steps = maxSteps
	p, err := m.Load(f, group)
	if err != nil {
		return
	}
	// The entry is known under its own name, even if a subprogram shares it.
	group[f.Name] = f
	trusted := trustFilled
	size := 0
	maps := map[string][]interp.Entry{}
	for _, g := range group {
		for k := range g.Insns {
			r := g.Insns[k].Ref
			if r == nil || r.Kind != prog.RefMap || r.Map == nil {
				continue
			}
			maps[r.Map.Name] = fit(r.Map, t.Maps[r.Map.Name])
			size += int(r.Map.ValueSize) * int(min(r.Map.MaxEntries, maxCarried))
			if len(maps[r.Map.Name]) == 0 && fills(r.Map.Type) {
				trusted = trustEmpty
			}
		}
	}
	profile := m.Profile(p)
	gen := interp.NewGenerator(f, group, t.Packets, 1)
	good := 0
	runs := MaxRuns
	if n := max(len(t.Packets), len(t.Contexts)); n > 0 {
		runs = min(runs, n)
	}
	m.NoMaps = size > maxCarried
	if size > 0 { // large maps take long to set up
		runs = min(runs, max(minRuns, maxSetUp/size))
	}
	for i := range runs {
		in := &interp.Input{Seed: uint64(i), Maps: maps}
		if n := len(t.Packets); n > 0 {
			in.Packet = t.Packets[i*n/runs]
			in.Ctx = context(f.Type, in.Packet)
		}
		if n := len(t.Contexts); n > 0 {
			in.Ctx = t.Contexts[i*n/runs]
		} else if len(in.Ctx) == 0 {
			in.Ctx = gen.Next().Ctx
		}
		out, err := m.Run(p, in)
		if err != nil {
			continue
		}
		good++
		if !m.NoMaps {
			maps = out.Maps // what the program remembers of the traffic
		}
	}
	if 2*good < runs {
		return
	}
	for name, g := range group {
		c := p.Counts(profile, name)
		if len(c) != len(g.Insns) || len(c) == 0 {
			continue
		}
		if counts[g] == nil {
			counts[g] = make([]uint64, len(c))
			trust[g] = trusted
		}
		trust[g] = min(trust[g], trusted)
		for k := range c {
			counts[g][k] += c[k]
		}
	}
}

// fit takes the entries that can be the map's. A per-CPU map's value may be
// those of all CPUs: the first one's is taken.
func fit(m *prog.Map, entries []interp.Entry) []interp.Entry {
	var out []interp.Entry
	for _, e := range entries {
		if len(e.Key) == int(m.KeySize) && len(e.Value) >= int(m.ValueSize) {
			out = append(out, interp.Entry{Key: e.Key, Value: e.Value[:m.ValueSize]})
		}
	}
	return out
}

// fills: user space is who usually fills maps of the type, so that lookups in
// an empty one say little. An array's elements are always there.
func fills(t prog.MapType) bool { return t != prog.MapArray && t != prog.MapPerCPUArray }

// reach lists the functions that f calls, directly or not.
func reach(f *prog.Func, callee func(string) *prog.Func) map[string]*prog.Func {
	out := map[string]*prog.Func{}
	todo := []*prog.Func{f}
	for len(todo) > 0 {
		g := todo[0]
		todo = todo[1:]
		for k := range g.Insns {
			r := g.Insns[k].Ref
			if r == nil || r.Kind != prog.RefFunc || out[r.Name] != nil || callee == nil {
				continue
			}
			if h := callee(r.Name); h != nil {
				out[r.Name] = h
				todo = append(todo, h)
			}
		}
	}
	return out
}

// Offsets in struct xdp_md and struct __sk_buff of fields that programs ask for.
const (
	xdpIfindex     = 12
	skbProtocol    = 16
	skbIfindex     = 40
	skbContextSize = 192
	xdpContextSize = 24
)

// context is what the kernel would give a program along with a packet; nil for
// types that take none.
func context(t prog.Type, packet []byte) []byte {
	switch t {
	case prog.TypeXDP:
		c := make([]byte, xdpContextSize)
		binary.LittleEndian.PutUint32(c[xdpIfindex:], 1)
		return c
	case prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeCgroupSKB, prog.TypeSocketFilter, prog.TypeLWTIn, prog.TypeLWTOut,
		prog.TypeLWTXmit, prog.TypeSKSKB:
		c := make([]byte, skbContextSize)
		if len(packet) >= 14 {
			copy(c[skbProtocol:], packet[12:14])
		}
		binary.LittleEndian.PutUint32(c[skbIfindex:], 1)
		return c
	}
	return nil
}
