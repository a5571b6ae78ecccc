package measure

import (
	"fmt"
	"math"
)

// ControlTable sums up sessions that measured programs against themselves: one
// row a program and one for all. A verdict other than "no difference" is wrong.
func ControlTable(records []*Record) (*Table, error) {
	t := &Table{
		Title:  "Programs measured against themselves",
		Header: []string{"program", "sessions", "void", "no difference", "wrong", "largest wrong %", "intervals that hold 0", "ns", "half width ns", "half width %"},
	}
	type tally struct {
		sessions, void, same, wrong, held int
		worst                             float64
		ns, width                         []float64
	}
	var order []string
	by := map[string]*tally{}
	all := new(tally)
	for _, r := range records {
		var l LatencyResult
		if err := r.Decode(&l); err != nil {
			return nil, err
		}
		if by[r.Key] == nil {
			by[r.Key] = new(tally)
			order = append(order, r.Key)
		}
		for _, d := range l.Rivals {
			for _, a := range []*tally{by[r.Key], all} {
				a.sessions++
				switch d.Verdict {
				case Void:
					a.void++
					continue
				case NoDifference:
					a.same++
				default:
					a.wrong++
					a.worst = max(a.worst, math.Abs(d.Percent()))
				}
				if d.Change.Low <= 0 && d.Change.High >= 0 {
					a.held++
				}
				a.ns, a.width = append(a.ns, d.Base.Mid), append(a.width, (d.Change.High-d.Change.Low)/2)
			}
		}
	}
	row := func(name string, a *tally) {
		valid := a.sessions - a.void
		share := func(n int) string {
			if valid == 0 {
				return ""
			}
			return fmt.Sprintf("%d of %d, %.1f %%", n, valid, 100*float64(n)/float64(valid))
		}
		cells := []string{name, fmt.Sprint(a.sessions), fmt.Sprint(a.void), share(a.same), fmt.Sprint(a.wrong), fmt.Sprintf("%.2f", a.worst), share(a.held)}
		if valid == 0 || name == "" {
			cells = append(cells, "", "", "")
		} else {
			ns, width := median(a.ns), median(a.width)
			cells = append(cells, fmt.Sprintf("%.2f", ns), fmt.Sprintf("%.3f", width), fmt.Sprintf("%.2f", 100*width/max(ns, math.SmallestNonzeroFloat64)))
		}
		t.Rows = append(t.Rows, cells)
	}
	for _, name := range order {
		row(name, by[name])
	}
	row("", all)
	t.Notes = notes(records, "Void: the session's own control failed, and it gives no verdict. Times and half widths of the 95 % intervals are medians over the sessions.")
	return t, nil
}
