package measure

import (
	"context"
	"sync"
	"time"
)

// Another guest on the same core of a virtual machine's host halves the speed of
// a CPU for seconds or minutes, and does so unevenly: a program that waits for
// memory hardly notices, so differences look smaller or larger than they are. The
// empty program, which is timed in every round, tells. Its time says nothing about
// base and rival, so leaving rounds out by it favours neither.
const (
	// quietFactor is how much longer than its shortest time the empty program may
	// take: where it lies in memory changes it by less.
	quietFactor = 1.5
	quietPause  = 20 * time.Millisecond
)

// shortest holds the empty program's shortest time per run in this process, in
// ns, by how it was run.
var shortest = struct {
	sync.Mutex
	ns map[string]float64
}{ns: map[string]float64{}}

// disturbed tells whether the empty program's last sample was too long, and
// learns from it. A round without the empty program is quiet.
func (s *session) disturbed(i int) bool {
	least := 0.0
	for _, sl := range s.slots {
		if t := sl.times; sl.subject == emptySubject && len(t) > 0 && (least == 0 || t[len(t)-1] < least) {
			least = t[len(t)-1]
		}
	}
	if least == 0 {
		return false
	}
	how := s.kind.name
	if s.result.Fresh[i] {
		how += ", fresh"
	}
	shortest.Lock()
	defer shortest.Unlock()
	if was := shortest.ns[how]; was == 0 || least < was {
		shortest.ns[how] = least
	}
	return least > quietFactor*shortest.ns[how]
}

// quietRound runs a round, again if it was disturbed: all rounds of a session
// together as often again as it has rounds, so that it takes twice the time at
// most.
func (s *session) quietRound(ctx context.Context, e, i, r int, in Input) error {
	for {
		samples, counts := len(s.result.Samples), len(s.result.Counts)
		if err := s.round(e, i, r, in); err != nil {
			return err
		}
		if !s.disturbed(i) {
			return nil
		}
		if s.result.Repeated >= s.ofTotal {
			s.result.Disturbed++
			return nil
		}
		s.result.Repeated++
		s.result.Samples, s.result.Counts = s.result.Samples[:samples], s.result.Counts[:counts]
		for _, sl := range s.slots {
			sl.times = sl.times[:len(sl.times)-1]
			for c := range sl.counts {
				sl.counts[c] = sl.counts[c][:len(sl.counts[c])-1]
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(quietPause):
		}
	}
}

// noisy tells whether so many rounds were disturbed that the figures are too.
func (r *LatencyResult) noisy() bool { return r.Disturbed > 0 && 2*r.Disturbed > r.Rounds }
