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
	exec  *executor
	slots []*slot // every loaded program, empty ones included
	// est[input][subject] collects one number per load.
	est     [][]loads
	floor   [][]float64
	result  *LatencyResult
	done    int
	ofTotal int
}

// slot is a loaded program at its place in the dispatcher.
type slot struct {
	subject, load int // subject -1 is the empty program
	inst          *Instance
	xdp, sink     *loader.XDPAttachment
	target        int       // interface that frames for it go to
	receiver      string    // interface that the program is attached to
	sent, before  uint64    // frames sent, and what the receiver counted before
	times         []float64 // ns per run, of the input at hand
}

const emptySubject, emptyLoads = -1, 2

// mostEvents bounds the events of a sample.
const mostEvents = 300

func (s *session) measure(ctx context.Context) (_ *LatencyResult, err error) {
	n := len(s.subjects)
	perEpoch := min(s.o.Loads, max(1, (maxInstances-emptyLoads)/n))
	epochs := (s.o.Epochs*s.o.Loads + perEpoch - 1) / perEpoch
	inputs := len(s.o.Inputs)
	s.result = &LatencyResult{Repeats: make([]int, inputs), Fresh: make([]bool, inputs), Floor: make([]float64, inputs)}
	s.ofTotal = epochs * inputs * s.o.Rounds
	s.floor = make([][]float64, inputs)
	s.est = make([][]loads, inputs)
	for i := range s.est {
		s.est[i] = make([]loads, n)
	}
	if s.ns, err = testbed.NewNamespace(); err != nil {
		return nil, err
	}
	defer s.ns.Close()
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
	err = s.ns.Do(func() error {
		for e := range epochs {
			if err := s.epoch(ctx, e, perEpoch); err != nil {
				return errors.Join(err, s.exec.close())
			}
		}
		return s.exec.close()
	})
	if err != nil {
		return nil, err
	}
	s.conclude()
	return s.result, nil
}

func (s *session) epoch(ctx context.Context, e, perEpoch int) (err error) {
	defer func() {
		for _, sl := range s.slots {
			err = errors.Join(err, sl.sink.Close(), sl.xdp.Close(), sl.inst.close())
		}
		s.slots = nil
	}()
	if err := s.load(perEpoch); err != nil {
		return err
	}
	for i, in := range s.o.Inputs {
		if e == 0 {
			if err := s.plan(i, in); err != nil {
				return err
			}
		}
		for r := range s.o.Rounds {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.round(e, i, r, in); err != nil {
				return err
			}
			s.done++
			if s.o.Progress != nil {
				s.o.Progress(s.done, s.ofTotal)
			}
		}
		s.collect(i, perEpoch)
	}
	return s.countLosses()
}

// load loads every subject perEpoch times, in random order so that no subject
// has a favoured place in memory, and attaches what must be attached.
func (s *session) load(perEpoch int) error {
	for sub := range s.subjects {
		for l := range perEpoch {
			s.slots = append(s.slots, &slot{subject: sub, load: l})
		}
	}
	s.rng.Shuffle(len(s.slots), func(i, j int) { s.slots[i], s.slots[j] = s.slots[j], s.slots[i] })
	var progType uint32
	for i, sl := range s.slots {
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
		if i == 0 {
			progType, s.kind, s.result.Type = t, kind, kind.name
		} else if t != progType {
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
		if progType != xdpType {
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
		p, err := loader.LoadRaw(progType, code, loader.RawOptions{Name: "empty", AttachType: attachType})
		if err != nil {
			return fmt.Errorf("the empty program: %w", err)
		}
		s.slots = append(s.slots, &slot{subject: emptySubject, load: l, inst: &Instance{FD: p.FD(), Close: p.Close}})
	}
	if !s.kind.attach {
		return nil
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

// plan decides how an input is run: repeated inside the kernel or anew each
// time, and how often for a sample.
func (s *session) plan(i int, in Input) error {
	fresh := !s.kind.repeat && !s.onFrames && !s.kind.events
	for _, sl := range s.slots {
		if fresh || s.onFrames || s.kind.events || sl.subject == emptySubject || sl.load != 0 {
			continue
		}
		steady, err := s.kind.steady(sl.inst.FD, in)
		if err != nil {
			return typedError(s.subjects[sl.subject].Name, err)
		}
		fresh = !steady
	}
	s.result.Fresh[i] = fresh
	probe := 200
	if s.onFrames {
		probe = 16 * liveBatch
	}
	var slowest time.Duration
	for _, sl := range s.slots {
		d, err := s.run(sl, i, in, probe)
		if err != nil {
			return s.named(sl, err)
		}
		if sl.subject >= 0 {
			slowest = max(slowest, d)
		}
	}
	most := 20000
	if fresh {
		most = 2000
	}
	if s.kind.events {
		most = mostEvents // each takes some microseconds beside the program's time
	}
	n := min(max(int(int64(s.o.Sample)*int64(probe)/int64(max(slowest, 1))), 50), most)
	if s.onFrames {
		n = (n + liveBatch - 1) / liveBatch * liveBatch
	}
	s.result.Repeats[i] = n
	return nil
}

func (s *session) named(sl *slot, err error) error {
	if sl.subject == emptySubject {
		return typedError("the empty program", err)
	}
	return typedError(s.subjects[sl.subject].Name, err)
}

func (s *session) run(sl *slot, i int, in Input, n int) (time.Duration, error) {
	var r loader.TestRun
	if s.onFrames {
		if err := s.rig.aim(sl.target); err != nil {
			return 0, err
		}
		s.rig.prepare(&r, i, in, n)
		sl.sent += uint64(n)
		return r.Timed()
	}
	if s.exec.rig != nil {
		return s.exec.many(sl.inst, in, n)
	}
	s.kind.prepare(&r, sl.inst.FD, in, false)
	if s.result.Fresh[i] {
		return r.TimedLoop(n)
	}
	r.Repeat = n
	return r.Timed()
}

func (s *session) round(e, i, r int, in Input) error {
	n := s.result.Repeats[i]
	for _, k := range s.rng.Perm(len(s.slots)) {
		sl := s.slots[k]
		d, err := s.run(sl, i, in, n)
		if err != nil {
			return s.named(sl, err)
		}
		sl.times = append(sl.times, float64(d)/float64(n))
		s.result.Samples = append(s.result.Samples, Sample{int64(e), int64(i), int64(r), int64(sl.subject), int64(sl.load), int64(d)})
	}
	return nil
}

// collect reduces an epoch's samples of one input to one figure for each load:
// the lower quartile, since whatever disturbs a sample lengthens it.
func (s *session) collect(i, perEpoch int) {
	byLoad := make([][]float64, len(s.subjects))
	for j := range byLoad {
		byLoad[j] = make([]float64, perEpoch)
	}
	for _, sl := range s.slots {
		m := lowerOf(sl.times)
		sl.times = sl.times[:0]
		if sl.subject == emptySubject {
			s.floor[i] = append(s.floor[i], m)
		} else {
			byLoad[sl.subject][sl.load] = m
		}
	}
	for j := range byLoad {
		s.est[i][j] = append(s.est[i][j], byLoad[j])
	}
}

// conclude weighs the inputs, compares, and lets the control judge.
func (s *session) conclude() {
	r := s.result
	total := make([]loads, len(s.subjects))
	sum := 0.0
	for _, in := range s.o.Inputs {
		sum += in.weight()
		r.Inputs = append(r.Inputs, in.Name)
	}
	for i, in := range s.o.Inputs {
		r.Floor[i] = median(s.floor[i])
		for j := range s.subjects {
			for e, l := range s.est[i][j] {
				if i == 0 {
					total[j] = append(total[j], make([]float64, len(l)))
				}
				for k := range l {
					l[k] -= r.Floor[i]
					total[j][e][k] += l[k] * in.weight() / sum
				}
			}
		}
	}
	r.Control = compare("control", total[0], total[1], s.o.Seed)
	if v := s.o.Thresholds.decide(r.Control); v != NoDifference {
		r.Reason = fmt.Sprintf("the base measured %s than itself (%+.3f ns, %+.3f to %+.3f): the machine is too noisy",
			v, r.Control.Change.Mid, r.Control.Change.Low, r.Control.Change.High)
	} else {
		r.Control.Verdict = v
	}
	if float64(r.Received) < (1-maxLoss)*float64(r.Sent) {
		r.Reason = fmt.Sprintf("of %d frames %d arrived", r.Sent, r.Received)
	}
	verdict := func(d Diff) Diff {
		if r.Reason == "" {
			d.Verdict = s.o.Thresholds.decide(d)
		}
		return d
	}
	for j, sub := range s.subjects[2:] {
		// The control is a second measurement of the base: use both.
		r.Rivals = append(r.Rivals, verdict(compare(sub.Name, pool(total[0], total[1]), total[j+2], s.o.Seed+uint64(j)+1)))
	}
	if len(s.o.Inputs) < 2 {
		return
	}
	for i := range s.o.Inputs {
		var row []Diff
		for j, sub := range s.subjects[2:] {
			row = append(row, verdict(compare(sub.Name, pool(s.est[i][0], s.est[i][1]), s.est[i][j+2], s.o.Seed+uint64(j)+1)))
		}
		r.ByInput = append(r.ByInput, row)
	}
}

func pool(a, b loads) loads {
	p := make(loads, len(a))
	for e := range a {
		p[e] = append(append([]float64(nil), a[e]...), b[e]...)
	}
	return p
}

// attachLive puts each program at the end of a pair of its own, in native mode,
// and a sink at the other.
func (s *session) attachLive() error {
	for i, sl := range s.slots {
		p := s.pairs[i]
		var err error
		if sl.xdp, err = loader.AttachXDP(p.Right, sl.inst.FD, loader.XDPOptions{Mode: loader.XDPNative}); err != nil {
			return err
		}
		if sl.sink, err = loader.AttachXDP(p.Left, s.rig.sink.FD(), loader.XDPOptions{Mode: loader.XDPNative}); err != nil {
			return err
		}
		sl.target, sl.receiver = p.LeftIndex, p.Right
		c, err := testbed.ReadCounters(p.Right)
		if err != nil {
			return err
		}
		sl.before = c.RxPackets
	}
	// Without a target the generator drops its own frames: what it costs alone.
	for l := range emptyLoads {
		s.slots = append(s.slots, &slot{subject: emptySubject, load: l})
	}
	return nil
}

// countLosses holds what the receivers counted against what was sent.
func (s *session) countLosses() error {
	for _, sl := range s.slots {
		if sl.receiver == "" {
			continue
		}
		c, err := testbed.ReadCounters(sl.receiver)
		if err != nil {
			return err
		}
		s.result.Sent += sl.sent
		s.result.Received += c.RxPackets - sl.before
	}
	return nil
}
