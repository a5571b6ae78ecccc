package measure

import "testing"

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
