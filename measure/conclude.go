package measure

import (
	"fmt"
	"slices"
)

// collect reduces an epoch's samples of one input to one figure for each load:
// see lowerOf.
func (s *session) collect(i, perEpoch int) {
	byLoad := make([][]float64, len(s.subjects))
	for j := range byLoad {
		byLoad[j] = make([]float64, perEpoch)
	}
	for _, sl := range s.slots {
		m := lowerOf(sl.times)
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
	s.collectCounts(i, perEpoch)
}

// weigh takes the measuring loop's own share off the figures (est[input][subject])
// and adds up the inputs by their weights.
func (s *session) weigh(est [][]loads, floor [][]float64) (total []loads, floors []float64) {
	total, floors = make([]loads, len(s.subjects)), make([]float64, len(s.o.Inputs))
	sum := 0.0
	for _, in := range s.o.Inputs {
		sum += in.weight()
	}
	for i, in := range s.o.Inputs {
		floors[i] = median(floor[i])
		for j := range s.subjects {
			for e, l := range est[i][j] {
				if i == 0 {
					total[j] = append(total[j], make([]float64, len(l)))
				}
				for k := range l {
					l[k] -= floors[i]
					total[j][e][k] += l[k] * in.weight() / sum
				}
			}
		}
	}
	return total, floors
}

// offsets tells how far the single estimates of the measuring loop's time were
// from those taken off, inputs weighed.
func (s *session) offsets(floor [][]float64, taken []float64) []float64 {
	var out []float64
	sum := 0.0
	for i, in := range s.o.Inputs {
		sum += in.weight()
		if out == nil {
			out = make([]float64, len(floor[i]))
		}
		for k, f := range floor[i] {
			out[k] += (f - taken[i]) * in.weight()
		}
	}
	for k := range out {
		out[k] /= sum
	}
	return out
}

func shifted(v []float64, by float64) []float64 {
	out := slices.Clone(v)
	for k := range out {
		out[k] += by
	}
	return out
}

// conclude weighs the inputs, compares, and lets the control judge.
func (s *session) conclude() {
	r := s.result
	for _, in := range s.o.Inputs {
		r.Inputs = append(r.Inputs, in.Name)
	}
	var total []loads
	total, r.Floor = s.weigh(s.est, s.floor)
	off := s.offsets(s.floor, r.Floor)
	s.concludeCounts()
	r.Control = compare("control", total[0], total[1], off, s.o.Seed)
	if v := s.o.Thresholds.decide(r.Control); v != NoDifference {
		r.Reason = fmt.Sprintf("the base measured %s than itself (%+.3f ns, %+.3f to %+.3f): the machine is too noisy",
			v, r.Control.Change.Mid, r.Control.Change.Low, r.Control.Change.High)
	} else {
		r.Control.Verdict = v
	}
	if float64(r.Received) < (1-maxLoss)*float64(r.Sent) {
		r.Reason = fmt.Sprintf("of %d frames %d arrived", r.Sent, r.Received)
	}
	verdict := func(d Diff) Diff {
		if r.Reason == "" {
			d.Verdict = s.o.Thresholds.decide(d)
		}
		return d
	}
	for j, sub := range s.subjects[2:] {
		// The control is a second measurement of the base: use both.
		r.Rivals = append(r.Rivals, verdict(compare(sub.Name, pool(total[0], total[1]), total[j+2], off, s.o.Seed+uint64(j)+1)))
	}
	if len(s.o.Inputs) < 2 {
		return
	}
	for i := range s.o.Inputs {
		var row []Diff
		off := shifted(s.floor[i], -r.Floor[i])
		for j, sub := range s.subjects[2:] {
			row = append(row, verdict(compare(sub.Name, pool(s.est[i][0], s.est[i][1]), s.est[i][j+2], off, s.o.Seed+uint64(j)+1)))
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
