package environ

import (
	"fmt"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// What a Suite spends: environments tried, environments kept, and instructions
// of one run.
const (
	maxTried = 200
	maxKept  = 64
	maxSteps = 4000
)

// Suite is environments that fit a function, with what the function does in
// each, to hold other bodies against it. The environments in which it goes new
// ways come first, then those that told a body apart before.
type Suite struct {
	p      *Program
	worlds []known
	m      Machine
}

type known struct {
	w     *World
	trace *Trace
}

// NewSuite runs f in environments until nothing new happens.
func NewSuite(f *prog.Func, o Options) *Suite {
	s := &Suite{p: Prepare(f, o)}
	pool := poolOf(f)
	for _, g := range o.Enter {
		pool = append(pool, poolOf(g)...)
	}
	seen := make([]bool, 2*len(f.Insns))
	var more []known
	idle := 0
	for seed := uint64(0); seed < maxTried && idle < maxKept; seed++ {
		w := newWorld(seed, f, pool)
		s.m.seen = make([]bool, len(seen))
		t, err := s.m.Run(s.p, w, maxSteps, true)
		if err != nil {
			idle++
			continue
		}
		news := false
		for i, x := range s.m.seen {
			news = news || x && !seen[i]
			seen[i] = seen[i] || x
		}
		switch {
		case news:
			idle = 0
			s.worlds = append(s.worlds, known{w, t})
		case len(more) < maxKept:
			more = append(more, known{w, t})
		default:
			idle++
		}
	}
	s.m.seen = nil
	s.worlds = append(s.worlds, more[:min(len(more), max(0, maxKept-len(s.worlds)))]...)
	return s
}

// Len is the number of environments.
func (s *Suite) Len() int { return len(s.worlds) }

// Tell runs q in up to most environments and says how it does something else
// than the function; empty when it does not, or that cannot be told. Of the
// result the low width bits count.
func (s *Suite) Tell(q *Program, width uint8, most int) string {
	for i := range min(most, len(s.worlds)) {
		k := s.worlds[i]
		t, err := s.m.Run(q, k.w, 2*maxSteps, false)
		d := ""
		switch err {
		case nil:
			d = k.trace.Differs(t, width)
		case ErrSteps:
			d = "the second one: " + err.Error()
		}
		if d == "" {
			continue
		}
		copy(s.worlds[1:i+1], s.worlds[:i])
		s.worlds[0] = k
		return fmt.Sprintf("in environment %d: %s", k.w.number, d)
	}
	return ""
}
