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

// LatencyOptions steer Latency. Zero values mean the defaults given.
type LatencyOptions struct {
	Inputs []Input // at least one
	// Loads of every program at a time (5), Epochs with fresh loads (6), Rounds
	// over all loads in random order (20).
	Loads, Epochs, Rounds int
	// Sample is the CPU time aimed at for one sample (1 ms).
	Sample     time.Duration
	Thresholds Thresholds
	Seed       uint64
	// Retries of a session whose control failed (1).
	Retries int
	// Progress is told how much is done; nil for nobody.
	Progress func(done, total int)
}

// Quick is a set of options for a first look: a few seconds become a fraction
// of one, and only large differences show.
func Quick(o LatencyOptions) LatencyOptions {
	o.Loads, o.Epochs, o.Rounds, o.Sample = 4, 3, 7, 500*time.Microsecond
	return o
}

func (o *LatencyOptions) defaults() error {
	if len(o.Inputs) == 0 {
		return errors.New("latency: no inputs")
	}
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&o.Loads, 5)
	set(&o.Epochs, 6)
	set(&o.Rounds, 20)
	set(&o.Retries, 1)
	if o.Sample <= 0 {
		o.Sample = time.Millisecond
	}
	if o.Thresholds == (Thresholds{}) {
		o.Thresholds = DefaultThresholds
	}
	return nil
}

// maxInstances keeps the loaded programs within the XDP dispatcher's 48 places,
// past which each run pays for an indirect call.
const maxInstances = 36

// LatencyResult is what a session found.
type LatencyResult struct {
	Type string `json:"type"` // program type
	// Floor is the measuring loop's own time by input, already subtracted.
	Floor []float64 `json:"floor_ns"`
	// Fresh marks inputs that each run got anew, since the program's own
	// changes would have altered the path of the next run; such times carry the
	// noise of a system call.
	Fresh []bool `json:"fresh"`
	// Control compares the base with itself.
	Control Diff   `json:"control"`
	Rivals  []Diff `json:"rivals"`
	// ByInput holds the rivals' differences for each input alone.
	ByInput [][]Diff `json:"by_input,omitempty"`
	// Reason says why the verdicts are void.
	Reason string `json:"void,omitempty"`
	// Samples are the raw data of the session, in the order taken.
	Samples []Sample `json:"samples"`
	// Repeats gives the runs per sample by input.
	Repeats []int `json:"repeats"`
}

// Sample is one timed system call: epoch, input, round, subject (0 the base, 1
// the control, 2... the rivals, -1 the empty program), load, and CPU ns.
type Sample [6]int64

// Latency measures the base against each rival with BPF_PROG_TEST_RUN: see
// LatencyResult. A session whose control fails is repeated Retries times and
// then reported with all verdicts Void.
func Latency(ctx context.Context, base Subject, rivals []Subject, o LatencyOptions) (*LatencyResult, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		s := &session{o: o, subjects: append([]Subject{base, base}, rivals...), rng: rand.New(rand.NewPCG(o.Seed, uint64(try)))}
		r, err := s.measure(ctx)
		if err != nil || r.Reason == "" || try >= o.Retries {
			return r, err
		}
	}
}

// session is one measurement in a namespace of its own.
type session struct {
	o        LatencyOptions
	subjects []Subject // base, base again as control, rivals
	rng      *rand.Rand

	ns    *testbed.Namespace
	pairs []*testbed.Pair
	kind  progKind
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
	xdp           *loader.XDPAttachment
	times         []float64 // ns per run, of the input at hand
}

const emptySubject, emptyLoads = -1, 2

func (s *session) measure(ctx context.Context) (*LatencyResult, error) {
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
	var err error
	if s.ns, err = testbed.NewNamespace(); err != nil {
		return nil, err
	}
	defer s.ns.Close()
	for range (n*perEpoch + emptyLoads + 1) / 2 {
		p, err := s.ns.NewPair(false)
		if err != nil {
			return nil, err
		}
		s.pairs = append(s.pairs, p)
	}
	for e := range epochs {
		if err := s.ns.Do(func() error { return s.epoch(ctx, e, perEpoch) }); err != nil {
			return nil, err
		}
	}
	s.conclude()
	return s.result, nil
}

func (s *session) epoch(ctx context.Context, e, perEpoch int) (err error) {
	defer func() {
		for _, sl := range s.slots {
			err = errors.Join(err, sl.xdp.Close(), sl.inst.close())
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
	return nil
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
	}
	for l := range emptyLoads {
		// r0 = 0; exit
		p, err := loader.LoadRaw(progType, []byte{0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0},
			loader.RawOptions{Name: "empty", AttachType: s.kind.attachType})
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
	fresh := !s.kind.repeat
	for _, sl := range s.slots {
		if fresh || sl.subject == emptySubject || sl.load != 0 {
			continue
		}
		steady, err := s.kind.steady(sl.inst.FD, in)
		if err != nil {
			return typedError(s.subjects[sl.subject].Name, err)
		}
		fresh = !steady
	}
	s.result.Fresh[i] = fresh
	const probe = 200
	var slowest time.Duration
	for _, sl := range s.slots {
		d, err := s.run(sl, in, probe, fresh)
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
	s.result.Repeats[i] = min(max(int(int64(s.o.Sample)*probe/int64(max(slowest, 1))), 50), most)
	return nil
}

func (s *session) named(sl *slot, err error) error {
	if sl.subject == emptySubject {
		return typedError("the empty program", err)
	}
	return typedError(s.subjects[sl.subject].Name, err)
}

func (s *session) run(sl *slot, in Input, n int, fresh bool) (time.Duration, error) {
	var r loader.TestRun
	s.kind.prepare(&r, sl.inst.FD, in, false)
	if fresh {
		return r.TimedLoop(n)
	}
	r.Repeat = n
	return r.Timed()
}

func (s *session) round(e, i, r int, in Input) error {
	n := s.result.Repeats[i]
	for _, k := range s.rng.Perm(len(s.slots)) {
		sl := s.slots[k]
		d, err := s.run(sl, in, n, s.result.Fresh[i])
		if err != nil {
			return s.named(sl, err)
		}
		sl.times = append(sl.times, float64(d)/float64(n))
		s.result.Samples = append(s.result.Samples, Sample{int64(e), int64(i), int64(r), int64(sl.subject), int64(sl.load), int64(d)})
	}
	return nil
}

// collect reduces an epoch's samples of one input to a median for each load.
func (s *session) collect(i, perEpoch int) {
	byLoad := make([][]float64, len(s.subjects))
	for j := range byLoad {
		byLoad[j] = make([]float64, perEpoch)
	}
	for _, sl := range s.slots {
		m := middleOf(sl.times)
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
