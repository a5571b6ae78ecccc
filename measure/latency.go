package measure

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/superbpf/superbpf/loader"
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
	// Counters are the events to count beside the time (loader.HardwareCounters
	// where the host has them).
	Counters []loader.Counter
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

// maxLoss is the share of frames that may be lost before times per frame mean
// nothing.
const maxLoss = 0.001

// LatencyResult is what a session found.
type LatencyResult struct {
	Type string `json:"type"` // program type
	// Referee says how the kernel ran the programs.
	Referee string `json:"referee"`
	// Floor is the measuring loop's own time by input, already subtracted.
	Floor []float64 `json:"floor_ns"`
	// Fresh marks inputs that each run got anew, since the program's own changes
	// would have altered the path of the next run, or the kernel repeats no runs of
	// the type. The kernel's run statistics time these, with caches as a system call
	// leaves them.
	Fresh []bool `json:"fresh"`
	// Control compares the base with itself.
	Control Diff   `json:"control"`
	Rivals  []Diff `json:"rivals"`
	// Inputs names the inputs, in order.
	Inputs []string `json:"inputs"`
	// ByInput holds the rivals' differences for each input alone.
	ByInput [][]Diff `json:"by_input,omitempty"`
	// Counters are events per run that the CPU counted, where it does.
	Counters []CounterResult `json:"counters,omitempty"`
	// Shared: another session would not end, and ran at the same time. Crowded: the
	// host has more XDP programs than the kernel calls directly, so these were
	// called through a pointer.
	Shared  bool `json:"shared,omitempty"`
	Crowded bool `json:"crowded,omitempty"`
	// Rounds is how many count, Repeated how many were left out and run again
	// because something else slowed the CPU down, Disturbed how many count although
	// something did.
	Rounds    int `json:"rounds"`
	Repeated  int `json:"repeated,omitempty"`
	Disturbed int `json:"disturbed,omitempty"`
	// Reason says why the verdicts are void.
	Reason string `json:"void,omitempty"`
	// Samples are the raw data of the session, in the order taken, Counts the
	// counters' of each sample, in the order of Counters.
	Samples []Sample   `json:"samples"`
	Counts  [][]uint64 `json:"counts,omitempty"`
	// Sent and Received count the frames of a Throughput session.
	Sent     uint64 `json:"sent,omitempty"`
	Received uint64 `json:"received,omitempty"`
	// Repeats gives the runs per sample by input.
	Repeats []int `json:"repeats"`
}

// Sample is one timed stretch of runs: epoch, input, round, subject (0 the base, 1
// the control, 2... the rivals, -1 the empty program), load, and ns: CPU time, or
// the kernel's run statistics for Fresh inputs and events.
type Sample [6]int64

// Latency measures the base against each rival with BPF_PROG_TEST_RUN: see
// LatencyResult. A session whose control fails is repeated Retries times and
// then reported with all verdicts Void.
func Latency(ctx context.Context, base Subject, rivals []Subject, o LatencyOptions) (*LatencyResult, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	return repeatSession(ctx, base, rivals, o, false)
}

// repeatSession measures until a control holds or the retries are used up.
func repeatSession(ctx context.Context, base Subject, rivals []Subject, o LatencyOptions, live bool) (*LatencyResult, error) {
	for try := 0; ; try++ {
		s := &session{o: o, subjects: append([]Subject{base, base}, rivals...), rng: rand.New(rand.NewPCG(o.Seed, uint64(try))), onFrames: live}
		r, err := s.measure(ctx)
		if err != nil || r.Reason == "" || try >= o.Retries {
			return r, err
		}
	}
}
