package measure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// session is one measurement in a namespace of its own.
type session struct {
	o        LatencyOptions
	subjects []Subject // base, base again as control, rivals
	rng      *rand.Rand

	// onFrames: real frames instead of test runs; rig makes them.
	onFrames bool
	rig      *liveRig

	ns    *testbed.Namespace
	pairs []*testbed.Pair
	kind  progKind
	// progType is that of all subjects (enum bpf_prog_type).
	progType uint32
	exec     *executor
	slots    []*slot // every loaded program, empty ones included
	// est[input][subject] collects one number per load; floor[input] those of the
	// empty program.
	est   [][]loads
	floor [][]float64
	// counted[counter] is as est and floor for events that the CPU counts.
	counters *loader.Counters
	counted  []counted
	result   *LatencyResult
	done     int
	ofTotal  int
}

// slot is a loaded program at its place in the dispatcher.
type slot struct {
	subject, load int // subject -1 is the empty program
	inst          *Instance
	xdp, sink     *loader.XDPAttachment
	target        int         // interface that frames for it go to
	receiver      string      // interface that the program is attached to
	sent, before  uint64      // frames sent, and what the receiver counted before
	times         []float64   // ns per run, of the input at hand
	counts        [][]float64 // events per run, by counter, of the input at hand
}

const emptySubject, emptyLoads = -1, 2

// mostEvents bounds the events of a sample.
const mostEvents = 300

func (s *session) measure(ctx context.Context) (_ *LatencyResult, err error) {
	release, alone, err := lockHost(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if s.ns, err = testbed.NewNamespace(); err != nil {
		return nil, err
	}
	defer s.ns.Close()
	if err := s.learnKind(); err != nil {
		return nil, err
	}
	n := len(s.subjects)
	perEpoch, epochs := s.o.Loads, s.o.Epochs
	if s.kind.attach {
		perEpoch = min(perEpoch, max(1, (maxInstances-emptyLoads)/n))
		epochs = (epochs*s.o.Loads + perEpoch - 1) / perEpoch
	}
	if s.kind.cold() && !s.onFrames {
		perEpoch, s.o.Rounds = perEpoch*coldLoads, max(s.o.Rounds/coldLoads, fewestRounds)
	}
	inputs := len(s.o.Inputs)
	s.result = &LatencyResult{Type: s.kind.name, Repeats: make([]int, inputs), Fresh: make([]bool, inputs), Floor: make([]float64, inputs)}
	s.ofTotal = epochs * inputs * s.o.Rounds
	s.result.Rounds = s.ofTotal
	s.floor = make([][]float64, inputs)
	s.est = make([][]loads, inputs)
	for i := range s.est {
		s.est[i] = make([]loads, n)
	}
	s.result.Shared = !alone
	pairs := (n*perEpoch + emptyLoads + 1) / 2
	if s.onFrames {
		if s.rig, err = newLiveRig(s.ns, s.o.Inputs); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.rig.close()) }()
		pairs = n * perEpoch
	}
	for range pairs {
		p, err := s.ns.NewPair(s.onFrames)
		if err != nil {
			return nil, err
		}
		s.pairs = append(s.pairs, p)
	}
	err = s.ns.Do(func() (err error) {
		if err := s.openCounters(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.exec.close(), s.counters.Close()) }()
		for e := range epochs {
			if err := s.epoch(ctx, e, perEpoch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.conclude()
	return s.result, nil
}

// Programs that each run finds with cold caches take up to a third longer where
// their code falls into cache sets that the kernel uses on the way: many loads,
// each with fewer rounds, average that out.
const coldLoads, fewestRounds = 4, 4

// learnKind loads the base once to see what it is.
func (s *session) learnKind() error {
	return s.ns.Do(func() error {
		inst, err := s.subjects[0].Load()
		if err != nil {
			return fmt.Errorf("load %s: %w", s.subjects[0].Name, err)
		}
		if s.progType, s.kind, err = kindOf(inst); err != nil {
			err = fmt.Errorf("%s: %w", s.subjects[0].Name, err)
		}
		return errors.Join(err, inst.close())
	})
}

func (s *session) epoch(ctx context.Context, e, perEpoch int) (err error) {
	defer func() { err = errors.Join(err, s.unload()) }()
	if err := s.loadSettled(ctx, perEpoch); err != nil {
		return err
	}
	for i, in := range s.o.Inputs {
		if e == 0 {
			if err := s.plan(i, in); err != nil {
				return err
			}
		}
		if err := s.rounds(ctx, e, i, in); err != nil {
			return err
		}
		s.collect(i, perEpoch)
	}
	return s.countLosses()
}

// loadSettled loads until the programs are as fast as such programs are here.
func (s *session) loadSettled(ctx context.Context, perEpoch int) error {
	for try := 1; ; try++ {
		if err := s.load(ctx, perEpoch); err != nil {
			return err
		}
		if ok, err := s.settled(); err != nil || ok || try == settleTries {
			return err
		}
		if err := s.unload(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settlePause):
		}
	}
}

func (s *session) unload() (err error) {
	for _, sl := range s.slots {
		err = errors.Join(err, sl.sink.Close(), sl.xdp.Close(), sl.inst.close())
	}
	s.slots = nil
	return err
}

// load loads every subject perEpoch times, in random order so that no subject
// has a favoured place in memory, and attaches what must be attached.
func (s *session) load(ctx context.Context, perEpoch int) error {
	for sub := range s.subjects {
		for l := range perEpoch {
			s.slots = append(s.slots, &slot{subject: sub, load: l})
		}
	}
	s.rng.Shuffle(len(s.slots), func(i, j int) { s.slots[i], s.slots[j] = s.slots[j], s.slots[i] })
	for _, sl := range s.slots {
		sub := s.subjects[sl.subject]
		inst, err := sub.Load()
		if err != nil {
			return fmt.Errorf("load %s: %w", sub.Name, err)
		}
		sl.inst = inst
		t, kind, err := kindOf(inst)
		if err != nil {
			return fmt.Errorf("%s: %w", sub.Name, err)
		}
		if t != s.progType {
			return fmt.Errorf("%s is a %s program, the base a %s program", sub.Name, kind.name, s.kind.name)
		}
		if s.exec == nil && !s.onFrames {
			if s.exec, err = newExecutor(inst); err != nil {
				return fmt.Errorf("%s: %w", sub.Name, err)
			}
			s.result.Referee = s.exec.referee()
		}
		if s.exec != nil {
			if err := s.exec.adopt(inst); err != nil {
				return fmt.Errorf("%s: %w", sub.Name, err)
			}
		}
	}
	if s.onFrames {
		if s.progType != xdpType {
			return fmt.Errorf("%s: %w: frames go to XDP programs only, and this is a %s program", s.subjects[0].Name, ErrNotMeasurable, s.kind.name)
		}
		return s.attachLive()
	}
	for l := range emptyLoads {
		// Programs on sockets may say 1 only, or mean yes by it.
		code, attachType := slots(mov(0, 0), exit), s.kind.attachType
		if s.kind.events {
			code, attachType = slots(mov(0, 1), exit), s.slots[0].inst.AttachType
		}
		p, err := loader.LoadRaw(s.progType, code, loader.RawOptions{Name: "empty", AttachType: attachType})
		if err != nil {
			return fmt.Errorf("the empty program: %w", err)
		}
		s.slots = append(s.slots, &slot{subject: emptySubject, load: l, inst: &Instance{FD: p.FD(), Close: p.Close}})
	}
	if !s.kind.attach {
		return nil
	}
	if fits, err := uncrowd(ctx, 0); err != nil {
		return err
	} else if !fits {
		s.result.Crowded = true
	}
	for i, sl := range s.slots {
		iface := s.pairs[i/2].Left
		if i%2 == 1 {
			iface = s.pairs[i/2].Right
		}
		var err error
		if sl.xdp, err = loader.AttachXDP(iface, sl.inst.FD, loader.XDPOptions{Mode: loader.XDPGeneric}); err != nil {
			return err
		}
	}
	return nil
}
