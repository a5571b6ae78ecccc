package measure

import (
	"slices"
	"testing"
)

func TestSlowEmptyProgramDisturbs(t *testing.T) {
	s := &session{kind: progKind{name: "test of disturbed rounds"}, result: &LatencyResult{Fresh: []bool{false}}}
	busy := &slot{subject: 0}
	one, two := &slot{subject: emptySubject}, &slot{subject: emptySubject, load: 1}
	s.slots = []*slot{busy, one, two}
	for _, c := range []struct {
		one, two, busy float64
		disturbed      bool
	}{
		{6, 6.5, 100, false},
		{8, 8.5, 100, false},
		{11, 10, 100, true},
		{11, 6, 200, false}, // one load is slow: where it lies, or an interrupt
		{4, 4.5, 100, false},
		{6.5, 7, 100, true},
	} {
		busy.times, one.times, two.times = []float64{c.busy}, []float64{c.one}, []float64{c.two}
		if got := s.disturbed(0); got != c.disturbed {
			t.Errorf("%v and %v ns: disturbed %v", c.one, c.two, got)
		}
	}
	s.slots = s.slots[:1]
	if s.disturbed(0) {
		t.Error("disturbed without an empty program")
	}
}

// A round that is run again leaves nothing of the first time.
func TestDroppedRoundLeavesNothing(t *testing.T) {
	s := &session{result: &LatencyResult{Samples: []Sample{{1}, {2}, {3}}, Counts: [][]uint64{{1}, {2}, {3}}}}
	a, b := &slot{times: []float64{5, 90}, counts: [][]float64{{7, 70}}}, &slot{times: []float64{6, 80}, counts: [][]float64{{8, 60}}}
	s.slots = []*slot{a, b}
	s.dropRound(1, 1)
	if len(s.result.Samples) != 1 || s.result.Samples[0] != (Sample{1}) || len(s.result.Counts) != 1 {
		t.Errorf("%v, %v", s.result.Samples, s.result.Counts)
	}
	if !slices.Equal(a.times, []float64{5}) || !slices.Equal(b.times, []float64{6}) || !slices.Equal(a.counts[0], []float64{7}) || !slices.Equal(b.counts[0], []float64{8}) {
		t.Errorf("%+v, %+v", a, b)
	}
}
