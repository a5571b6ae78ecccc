package measure

import (
	"errors"

	"github.com/superbpf/superbpf/loader"
)

// CounterResult compares how often an event happens in a run.
type CounterResult struct {
	Name string `json:"name"`
	// Rivals are in events per run, without the measuring loop's; no verdict.
	Rivals []Diff `json:"rivals"`
}

// counted collects a counter's figures as a session collects times.
type counted struct {
	est   [][]loads
	floor [][]float64
}

// openCounters opens the counters asked for, or those of the hardware if it has
// them. What raises events would be counted many times over beside the program.
func (s *session) openCounters() (err error) {
	if s.kind.events {
		return nil
	}
	if s.o.Counters != nil {
		s.counters, err = loader.OpenCounters(s.o.Counters)
	} else if s.counters, err = loader.OpenCounters(loader.HardwareCounters); errors.Is(err, loader.ErrNoCounters) {
		err = nil
	}
	if err != nil {
		return err
	}
	s.counted = make([]counted, len(s.counters.Names()))
	for c := range s.counted {
		s.counted[c].floor = make([][]float64, len(s.o.Inputs))
		for range s.o.Inputs {
			s.counted[c].est = append(s.counted[c].est, make([]loads, len(s.subjects)))
		}
	}
	return nil
}

// count ends a sample of n runs.
func (s *session) count(sl *slot, n int) error {
	counts, err := s.counters.Stop()
	if err != nil || counts == nil {
		return err
	}
	if sl.counts == nil {
		sl.counts = make([][]float64, len(counts))
	}
	for c, k := range counts {
		sl.counts[c] = append(sl.counts[c], float64(k)/float64(n))
	}
	s.result.Counts = append(s.result.Counts, counts)
	return nil
}

// collectCounts reduces an epoch's counts of an input to one figure a load.
func (s *session) collectCounts(i, perEpoch int) {
	for c := range s.counted {
		at := &s.counted[c]
		for j := range s.subjects {
			at.est[i][j] = append(at.est[i][j], make([]float64, perEpoch))
		}
		for _, sl := range s.slots {
			m := lowerOf(sl.counts[c])
			sl.counts[c] = sl.counts[c][:0]
			if sl.subject == emptySubject {
				at.floor[i] = append(at.floor[i], m)
			} else {
				e := at.est[i][sl.subject]
				e[len(e)-1][sl.load] = m
			}
		}
	}
}

// concludeCounts compares events per run, inputs weighed as for times.
func (s *session) concludeCounts() {
	for c, name := range s.counters.Names() {
		total, floor := s.weigh(s.counted[c].est, s.counted[c].floor)
		off := s.offsets(s.counted[c].floor, floor)
		r := CounterResult{Name: name}
		for j, sub := range s.subjects[2:] {
			r.Rivals = append(r.Rivals, compare(sub.Name, pool(total[0], total[1]), total[j+2], off, s.o.Seed+uint64(j)+1))
		}
		s.result.Counters = append(s.result.Counters, r)
	}
}

// counter finds a rival's figures of a counter.
func (r *LatencyResult) counter(name, rival string) (Diff, bool) {
	for _, c := range r.Counters {
		for _, d := range c.Rivals {
			if c.Name == name && d.Name == rival {
				return d, true
			}
		}
	}
	return Diff{}, false
}
