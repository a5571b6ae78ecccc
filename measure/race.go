package measure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/measure/mapstate"
)

func isNotMeasurable(err error) bool { return errors.Is(err, ErrNotMeasurable) }

// RaceOptions steer Race.
type RaceOptions struct {
	// Inputs are what the programs run on; at most Paths (6) of them are timed,
	// chosen by Representatives.
	Inputs []Input
	Paths  int
	// Maps are initial contents beyond the objects' own.
	Maps []mapstate.State
	// Type is the section name that gives the type of programs whose own
	// section's name gives none.
	Type string
	// Latency holds the settings of the final; its Inputs are ignored.
	Latency LatencyOptions
	// Finalists is how many reach the final (3).
	Finalists int

	// latency and throughput take the place of Latency and Throughput in tests.
	latency, throughput sessionFunc
}

// sessionFunc measures a base against rivals.
type sessionFunc func(ctx context.Context, base Subject, rivals []Subject, o LatencyOptions) (*LatencyResult, error)

// RaceResult says which object to keep.
type RaceResult struct {
	// Best is the index of the object to keep.
	Best int `json:"best"`
	// Verdicts, Changes (ns) and Ratios compare each object with the first. A
	// ratio below 1 is faster; 0 is unknown, or the programs are too short for
	// one. Objects that left in a heat have that heat's figures.
	Verdicts []Verdict `json:"verdicts"`
	Changes  []float64 `json:"changes_ns"`
	Ratios   []float64 `json:"ratios"`
	// Final is the last session, nil when there was none.
	Final *LatencyResult `json:"final"`
	// OnFrames: Final is a Throughput session, since the packets drift.
	OnFrames bool `json:"on_frames,omitempty"`
	// Finalists are the objects of Final's rivals.
	Finalists []int `json:"finalists"`
}

// Race times candidate objects against the first, which is the original; the
// others come in the caller's order of preference. Heats with few samples send
// the slower half home until the finalists are left. Best is the first that is
// not proved slower, unless a later one is proved faster than it; 0 if all are
// slower. A program type that the kernel does not run gives
// ErrNotMeasurable.
func Race(ctx context.Context, program string, objects [][]byte, o RaceOptions) (*RaceResult, error) {
	if len(objects) == 0 {
		return nil, errors.New("race: no objects")
	}
	subjects := make([]Subject, len(objects))
	for i, obj := range objects {
		subjects[i] = FromObjectAs(fmt.Sprintf("%s#%d", program, i), obj, program, o.Type, o.Maps)
	}
	return RaceSubjects(ctx, subjects, o)
}

// RaceSubjects is Race for programs however loaded.
func RaceSubjects(ctx context.Context, subjects []Subject, o RaceOptions) (*RaceResult, error) {
	n := len(subjects)
	r := &RaceResult{Verdicts: make([]Verdict, n), Changes: make([]float64, n), Ratios: make([]float64, n)}
	r.Verdicts[0], r.Ratios[0] = NoDifference, 1
	if n == 1 {
		return r, nil
	}
	if o.Paths <= 0 {
		o.Paths = 6
	}
	if o.Finalists <= 0 {
		o.Finalists = 3
	}
	if o.latency == nil {
		o.latency, o.throughput = Latency, Throughput
	}
	var err error
	if o.Latency.Inputs, err = Representatives(ctx, subjects[0], o.Inputs, o.Paths); err != nil {
		return nil, err
	}
	return r, r.run(ctx, subjects, o)
}

// run holds the heats and the final.
func (r *RaceResult) run(ctx context.Context, subjects []Subject, o RaceOptions) error {
	var alive []int
	for i := 1; i < len(subjects); i++ {
		alive = append(alive, i)
	}
	for len(alive) > o.Finalists {
		if err := r.heat(ctx, subjects, alive, Quick(o.Latency), o.latency); err != nil {
			return err
		}
		slices.SortStableFunc(alive, func(a, b int) int { return cmp.Compare(r.Changes[a], r.Changes[b]) })
		alive = alive[:max(o.Finalists, len(alive)/2)]
		slices.Sort(alive)
	}
	session := o.latency
	if err := r.heat(ctx, subjects, alive, o.Latency, session); err != nil {
		return err
	}
	// A packet that each run gets anew drowns small differences in the noise of
	// a system call. Frames are restored by their generator.
	if slices.Contains(r.Final.Fresh, true) && r.Final.Type == kinds[xdpType].name {
		r.OnFrames, session = true, o.throughput
		if err := r.heat(ctx, subjects, alive, o.Latency, session); err != nil {
			return err
		}
	}
	if err := r.anew(ctx, subjects, alive, o.Latency, session); err != nil {
		return err
	}
	r.Finalists = alive
	r.Best = r.choose(alive)
	return nil
}

// heatSize bounds the rivals of a session, so that each is loaded several times
// within the dispatcher's places.
const heatSize = 6

func (r *RaceResult) heat(ctx context.Context, subjects []Subject, who []int, o LatencyOptions, session sessionFunc) error {
	for group := range slices.Chunk(who, heatSize) {
		var rivals []Subject
		for _, i := range group {
			rivals = append(rivals, subjects[i])
		}
		l, err := session(ctx, subjects[0], rivals, o)
		if err != nil {
			return err
		}
		r.Final = l
		for k, i := range group {
			d := l.Rivals[k]
			r.Verdicts[i], r.Changes[i] = d.Verdict, d.Change.Mid
			r.Ratios[i], _, _, _ = d.Ratio()
		}
	}
	return nil
}

// choose takes the first finalist that is not slower than the original, unless
// a later one is faster than it beyond both intervals.
func (r *RaceResult) choose(finalists []int) int {
	best := 0
	var interval Interval
	for k, i := range finalists {
		c := r.Final.Rivals[k].Change
		if r.Verdicts[i] != Slower && (best == 0 || r.Verdicts[i] != Void && c.High < interval.Low) {
			best, interval = i, c
		}
	}
	return best
}

// anew measures the finalists once more if one would lose its place for being
// slower, and lets only those lose that both sessions find slower: with several
// candidates a program, one interval in twenty is wrong too often.
func (r *RaceResult) anew(ctx context.Context, subjects []Subject, who []int, o LatencyOptions, session sessionFunc) error {
	verdicts := slices.Clone(r.Verdicts)
	if !slices.ContainsFunc(who, func(i int) bool { return verdicts[i] == Slower }) {
		return nil
	}
	o.Seed++
	if err := r.heat(ctx, subjects, who, o, session); err != nil {
		return err
	}
	for _, i := range who {
		if r.Verdicts[i] == Slower && verdicts[i] != Slower {
			r.Verdicts[i] = NoDifference
		}
	}
	return nil
}
