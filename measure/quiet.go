package measure

import (
	"context"
	"sync"
	"time"

	"github.com/superbpf/superbpf/loader"
)

// Two things change the speed of all programs for seconds or minutes, and do so
// unevenly: a program that waits for memory hardly notices, so differences look
// smaller or larger than they are. Another guest on the same core of a virtual
// machine's host is one; the other is a host with so many XDP programs that some
// of the session's got no place in the dispatcher. The empty program, which is
// timed in every round, tells. Its time says nothing about base and rival, so
// leaving rounds out by it favours neither.
const (
	// quietFactor is how much longer than its shortest time the empty program may
	// take: where it lies in memory changes it by less.
	quietFactor = 1.5
	quietPause  = 20 * time.Millisecond
	// An epoch loads its programs this often at most, until the empty ones are not
	// slow from the start.
	settleTries = 4
	settlePause = 250 * time.Millisecond
	settleRuns  = 2000
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
	return slow(how, least)
}

// slow tells whether the empty program took too long, in ns, and learns from it.
func slow(how string, ns float64) bool {
	shortest.Lock()
	defer shortest.Unlock()
	if was := shortest.ns[how]; was == 0 || ns < was {
		shortest.ns[how] = ns
	}
	return ns > quietFactor*shortest.ns[how]
}

// settled tells whether none of the empty programs that were just loaded is slow.
func (s *session) settled() (bool, error) {
	if !s.kind.repeat || s.kind.events || s.onFrames {
		return true, nil
	}
	for _, sl := range s.slots {
		if sl.subject != emptySubject {
			continue
		}
		least := 0.0
		for range 5 {
			var r loader.TestRun
			s.kind.prepare(&r, sl.inst.FD, s.o.Inputs[0], false)
			r.Repeat = settleRuns
			d, err := r.Timed()
			if err != nil {
				return false, s.named(sl, err)
			}
			if ns := float64(d) / settleRuns; least == 0 || ns < least {
				least = ns
			}
		}
		if slow(s.kind.name, least) {
			return false, nil
		}
	}
	return true, nil
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
		s.dropRound(samples, counts)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(quietPause):
		}
	}
}

// dropRound takes the last round back: the result keeps so many samples and counts.
func (s *session) dropRound(samples, counts int) {
	s.result.Samples, s.result.Counts = s.result.Samples[:samples], s.result.Counts[:counts]
	for _, sl := range s.slots {
		sl.times = sl.times[:len(sl.times)-1]
		for c := range sl.counts {
			sl.counts[c] = sl.counts[c][:len(sl.counts[c])-1]
		}
	}
}

// noisy tells whether so many rounds were disturbed that the figures are too.
func (r *LatencyResult) noisy() bool { return r.Disturbed > 0 && 2*r.Disturbed > r.Rounds }
