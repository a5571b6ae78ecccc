package measure

import "fmt"

// RateTable lists the highest loss-free rates: one row a program, with all trials
// in the records.
func RateTable(records []*Record) (*Table, error) {
	t := &Table{
		Title:  "Highest rate without loss",
		Header: []string{"program", "object", "Mpps", "bound by the sender", "trials"},
	}
	for _, r := range records {
		if r.Kind != KindRate {
			continue
		}
		var d RateResult
		if err := r.Decode(&d); err != nil {
			return nil, err
		}
		t.Rows = append(t.Rows, []string{r.Key, r.subject(), fmt.Sprintf("%.3f", d.Mpps), fmt.Sprint(d.SenderBound), fmt.Sprint(len(d.Trials))})
	}
	t.Notes = notes(records, "By bisection, in the sense of RFC 2544, section 26.1, on a veth pair: figures are relative, not a testbed's.")
	return t, nil
}

// LoadTable lists load curves: one row a load.
func LoadTable(records []*Record) (*Table, error) {
	t := &Table{
		Title:  "Waiting time and loss by offered load",
		Header: []string{"program", "object", "load %", "offered Mpps", "loss %", "p50 us", "p90 us", "p99 us", "p99.9 us", "packets"},
	}
	for _, r := range records {
		if r.Kind != KindLoad {
			continue
		}
		var d LoadResult
		if err := r.Decode(&d); err != nil {
			return nil, err
		}
		for _, p := range d.Points {
			row := []string{r.Key, r.subject(), fmt.Sprint(p.Percent), fmt.Sprintf("%.3f", p.Offered), fmt.Sprintf("%.3f", 100*p.Loss())}
			for _, q := range []float64{0.5, 0.9, 0.99, 0.999} {
				row = append(row, fmt.Sprintf("%.2f", p.Quantile(q)/1000))
			}
			t.Rows = append(t.Rows, append(row, fmt.Sprint(p.Received)))
		}
	}
	t.Notes = notes(records, "From when a packet was due to be sent until the program began with it, on a veth pair; the load is in percent of the first object's loss-free rate.")
	return t, nil
}

// subject names the first program of a record.
func (r *Record) subject() string {
	if len(r.Programs) == 0 {
		return ""
	}
	return r.Programs[0].Name
}
