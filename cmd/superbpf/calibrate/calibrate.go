package calibrate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// least is the smallest price: below it differences drown, and an instruction
// must not be free.
const least = 0.01

// perSession is how many probes are measured beside each other.
const perSession = 12

// Options steer Model.
type Options struct {
	Seed uint64
	// Progress is told what was measured; nil for nobody.
	Progress func(done, total int, what string)
}

// Model measures everything there is a probe for. What has none (helpers with
// a lasting effect, for instance), and what this kernel refuses, keeps the
// price that the default model has, and is listed in Assumed.
func Model(ctx context.Context, o Options) (*cost.Model, error) {
	h := loader.ProbeHost()
	m := cost.Default()
	m.Kernel, m.CPU, m.Assumed = h.Kernel, h.CPU, nil
	// A helper's price holds that of its call: some are inlined.
	m.Insn = map[string]float64{isa.RowOf(isa.Call).Name: least}
	s := &sessions{o: o, m: m, measured: map[string]bool{}}
	groups := [][]probe{rowProbes(), otherProbes(), helperProbes()}
	for _, g := range groups {
		s.total += len(g)
	}
	for _, g := range groups {
		// What surrounds the probes of a group was priced by those before;
		// branches need the loads, which come later in the table.
		slices.SortStableFunc(g, func(a, b probe) int { return len(a.rest) - len(b.rest) })
		slices.SortStableFunc(g, func(a, b probe) int { return kindOf(a) - kindOf(b) })
		for len(g) > 0 {
			n := min(perSession, len(g))
			for n > 1 && ((len(g[n-1].rest) == 0) != (len(g[0].rest) == 0) || g[n-1].xdp != g[0].xdp) {
				n--
			}
			if err := s.run(ctx, g[:n]); err != nil {
				return nil, err
			}
			g = g[n:]
		}
	}
	for name := range m.Helper {
		if !s.measured[name] {
			m.Assumed = append(m.Assumed, name)
		}
	}
	slices.Sort(m.Assumed)
	return m, m.Init()
}

// sessions collects prices.
type sessions struct {
	o        Options
	m        *cost.Model
	measured map[string]bool
	plain    float64 // what keyPush and keyFrame are compared with
	done     int
	total    int
}

// kindOf tells apart what is measured against empty runs of its own.
func kindOf(p probe) int {
	if p.xdp {
		return 1
	}
	return 0
}

// run measures some probes against the empty run.
func (s *sessions) run(ctx context.Context, probes []probe) error {
	var subjects []measure.Subject
	var loaded []*probe
	for k := range probes {
		sub := subject(&probes[k])
		i, err := sub.Load()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.done++
			s.m.Assumed = append(s.m.Assumed, probes[k].key)
			continue // an instruction or helper that this kernel does not have
		}
		if err := i.Close(); err != nil {
			return err
		}
		subjects, loaded = append(subjects, sub), append(loaded, &probes[k])
	}
	if len(loaded) == 0 {
		return nil
	}
	packet := measure.Input{Name: "packet", Data: make([]byte, 64)}
	// The control needs to hold to a hundredth of what a probe adds.
	r, err := measure.Latency(ctx, subject(&probe{key: "empty", xdp: probes[0].xdp}), subjects, measure.LatencyOptions{
		Inputs: []measure.Input{packet}, Loads: 2, Epochs: 7, Rounds: 9, Sample: 300 * time.Microsecond,
		Seed: s.o.Seed + uint64(s.done), Retries: 4, Thresholds: measure.Thresholds{Nanos: 0.3}})
	if err != nil {
		return err
	}
	if r.Reason != "" {
		return fmt.Errorf("calibrate: %s: stop what else runs, or try again", r.Reason)
	}
	for k, p := range loaded {
		each := r.Rivals[k].Change.Mid / float64(p.n)
		if err := s.m.Init(); err != nil {
			return err
		}
		for _, in := range p.rest {
			i := prog.New(in)
			each -= s.m.One(&i)
		}
		s.price(p.key, each)
		s.done++
	}
	if s.o.Progress != nil {
		s.o.Progress(s.done, s.total, loaded[len(loaded)-1].key)
	}
	return nil
}

// price enters one price into the model.
func (s *sessions) price(key string, ns float64) {
	m := s.m
	s.measured[key] = true
	ns = math.Round(ns*1e4) / 1e4 // what is beyond is noise
	switch key {
	case keyLong:
		m.LongConst = max(0, ns)
	case keyTaken:
		m.TakenBranch = max(0, ns)
		for _, jump := range []isa.Op{isa.Ja, isa.Gotol} {
			// A jump ends a fetch as a taken branch does; among other code that
			// hides it, it may look free.
			name := isa.RowOf(jump).Name
			m.Insn[name] = max(m.Insn[name], ns)
		}
	case keyPlain, keyOuter:
		s.plain = ns
	case keyPush:
		m.CalleeSaved = max(least, math.Round((ns-s.plain)/4*1e4)/1e4)
	case keyFrame:
		m.StackFrame = max(0, ns-s.plain)
	case keyWait:
		m.Forward = max(0, ns)
	case keyFetch:
		m.Slot = max(least, ns)
	case isa.RowOf(isa.CallFunc).Name:
		// The call, the frame and the return: the latter is the function's own.
		m.Insn[key] = max(least, ns/2)
		m.Insn[isa.RowOf(isa.Exit).Name] = max(least, ns/2)
	default:
		if isa.ByName(key) != 0 {
			m.Insn[key] = max(least, ns)
		} else {
			m.Helper[key] = max(0, ns)
		}
	}
}
