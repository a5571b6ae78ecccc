package measure

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// Table is a table generated from records.
type Table struct {
	Title  string
	Header []string
	Rows   [][]string
	// Notes stand below: what the figures rest on and what they do not show.
	Notes []string
}

// Markdown writes the table for people.
func (t *Table) Markdown(w io.Writer) error {
	if t.Title != "" {
		if _, err := fmt.Fprintf(w, "## %s\n\n", t.Title); err != nil {
			return err
		}
	}
	off := tw.CellConfig{Formatting: tw.CellFormatting{AutoFormat: tw.Off, AutoWrap: tw.WrapNone}}
	tab := tablewriter.NewTable(w, tablewriter.WithRenderer(renderer.NewMarkdown()), tablewriter.WithConfig(tablewriter.Config{Header: off, Row: off}))
	tab.Header(t.Header)
	if err := tab.Bulk(t.Rows); err != nil {
		return err
	}
	if err := tab.Render(); err != nil {
		return err
	}
	for _, n := range t.Notes {
		if _, err := fmt.Fprintf(w, "\n%s\n", n); err != nil {
			return err
		}
	}
	return nil
}

// TSV writes the table for programs: tab-separated, the header first.
func (t *Table) TSV(w io.Writer) error {
	clean := strings.NewReplacer("\t", " ", "\n", " ")
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = clean.Replace(c)
		}
		if _, err := fmt.Fprintln(w, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return nil
}

// Kinds of records that tables are made of.
const (
	KindLatency    = "latency"    // Data is a LatencyResult
	KindThroughput = "throughput" // Data is a LatencyResult
	KindDiffer     = "differ"     // Data is a DifferReport
	KindCompare    = "compare"    // Data is a Comparison
	KindRate       = "rate"       // Data is a RateResult
	KindLoad       = "load"       // Data is a LoadResult
)

// Tables makes a table of each kind of record that has one.
var Tables = map[string]func([]*Record) (*Table, error){
	KindLatency:    LatencyTable,
	KindThroughput: ThroughputTable,
	KindRate:       RateTable,
	KindLoad:       LoadTable,
}

// LatencyTable lists the latency records: one row a rival.
func LatencyTable(records []*Record) (*Table, error) {
	t := &Table{
		Title:  "Time per run",
		Header: []string{"program", "version", "before ns", "after ns", "change ns (95 %)", "change %", "verdict"},
	}
	counters, err := counterNames(records)
	if err != nil {
		return nil, err
	}
	for _, c := range counters {
		t.Header = append(t.Header, c+" before", c+" after")
	}
	err = eachDiff(records, KindLatency, func(r *Record, l *LatencyResult, d Diff) {
		row := []string{r.Key, d.Name, fmt.Sprintf("%.2f", d.Base.Mid), fmt.Sprintf("%.2f", d.Rival.Mid),
			spanOf(d.Change), fmt.Sprintf("%+.1f", d.Percent()), verdictOf(l, d)}
		for _, name := range counters {
			before, after := "", ""
			if e, ok := l.counter(name, d.Name); ok {
				before, after = fmt.Sprintf("%.2f", e.Base.Mid), fmt.Sprintf("%.2f", e.Rival.Mid)
			}
			row = append(row, before, after)
		}
		t.Rows = append(t.Rows, row)
	})
	t.Notes = notes(records, "Times are those of BPF_PROG_TEST_RUN without the measuring loop, as a median over loads.")
	return t, err
}

// ThroughputTable lists the throughput records: one row a rival.
func ThroughputTable(records []*Record) (*Table, error) {
	t := &Table{
		Title:  "Packets on a veth pair, one core",
		Header: []string{"program", "version", "before ns/packet", "after ns/packet", "before Mpps", "after Mpps", "change %", "verdict"},
	}
	err := eachDiff(records, KindThroughput, func(r *Record, l *LatencyResult, d Diff) {
		t.Rows = append(t.Rows, []string{r.Key, d.Name, fmt.Sprintf("%.1f", d.Base.Mid), fmt.Sprintf("%.1f", d.Rival.Mid),
			fmt.Sprintf("%.2f", Mpps(d.Base.Mid)), fmt.Sprintf("%.2f", Mpps(d.Rival.Mid)), fmt.Sprintf("%+.1f", d.Percent()), verdictOf(l, d)})
	})
	t.Notes = notes(records, "CPU time of the receiving side for frames that the kernel generates; veth figures are relative, not a testbed's.")
	return t, err
}

// counterNames lists the counters that latency records have, in order of appearance.
func counterNames(records []*Record) (names []string, err error) {
	for _, r := range records {
		if r.Kind != KindLatency {
			continue
		}
		var l LatencyResult
		if err := r.Decode(&l); err != nil {
			return nil, err
		}
		for _, c := range l.Counters {
			if !slices.Contains(names, c.Name) {
				names = append(names, c.Name)
			}
		}
	}
	return names, nil
}

func eachDiff(records []*Record, kind string, row func(*Record, *LatencyResult, Diff)) error {
	for _, r := range records {
		if r.Kind != kind {
			continue
		}
		var l LatencyResult
		if err := r.Decode(&l); err != nil {
			return err
		}
		for _, d := range l.Rivals {
			row(r, &l, d)
		}
	}
	return nil
}

func spanOf(i Interval) string { return fmt.Sprintf("%+.2f (%+.2f to %+.2f)", i.Mid, i.Low, i.High) }

// verdictOf carries a figure's warnings.
func verdictOf(l *LatencyResult, d Diff) string {
	s := d.Verdict.String()
	for _, f := range l.Fresh {
		if f {
			return s + ", one packet a call"
		}
	}
	return s
}

// notes names the machines that records come from.
func notes(records []*Record, first string) []string {
	list, seen := []string{first}, map[string]bool{}
	for _, r := range records {
		e := fmt.Sprintf("Linux %s, %s, %d CPUs", r.Env.Kernel, r.Env.CPU, r.Env.CPUs)
		if r.Env.Virtual != "" {
			e += ", a virtual machine"
		}
		if !seen[e] {
			seen[e] = true
			list = append(list, e+".")
		}
	}
	return list
}
