package measure

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
)

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
		d, err := s.cost(sl, i, in, probe)
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

// cost is the CPU time of a sample of n runs, where that is more than the
// program's own.
func (s *session) cost(sl *slot, i int, in Input, n int) (time.Duration, error) {
	if !s.result.Fresh[i] {
		return s.run(sl, i, in, n)
	}
	var r loader.TestRun
	s.kind.prepare(&r, sl.inst.FD, in, false)
	return r.TimedLoop(n)
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
	if !s.result.Fresh[i] {
		r.Repeat = n
		return r.Timed()
	}
	// The system call of each run takes a hundred times as long as the program:
	// the kernel's run statistics leave it out.
	runs := 0
	d, err := inRuns(sl.inst.FD, &runs, func() error {
		_, err := r.TimedLoop(n)
		return err
	})
	if err != nil {
		return 0, err
	}
	return time.Duration(float64(d) / float64(runs) * float64(n)), nil
}

// rounds runs all slots in turn on an input, in random order each time.
func (s *session) rounds(ctx context.Context, e, i int, in Input) error {
	if s.result.Fresh[i] {
		// On for these runs only: they lengthen each by some tens of ns.
		stats, err := loader.EnableRunStats()
		if err != nil {
			return fmt.Errorf("run statistics: %w", err)
		}
		defer unix.Close(stats)
	}
	for r := range s.o.Rounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.quietRound(ctx, e, i, r, in); err != nil {
			return err
		}
		s.done++
		if s.o.Progress != nil {
			s.o.Progress(s.done, s.ofTotal)
		}
	}
	return nil
}

func (s *session) round(e, i, r int, in Input) error {
	n := s.result.Repeats[i]
	for _, k := range s.rng.Perm(len(s.slots)) {
		sl := s.slots[k]
		if err := s.counters.Start(); err != nil {
			return err
		}
		d, err := s.run(sl, i, in, n)
		if err != nil {
			return s.named(sl, err)
		}
		if err := s.count(sl, n); err != nil {
			return err
		}
		sl.times = append(sl.times, float64(d)/float64(n))
		s.result.Samples = append(s.result.Samples, Sample{int64(e), int64(i), int64(r), int64(sl.subject), int64(sl.load), int64(d)})
	}
	return nil
}
