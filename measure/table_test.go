package measure

import (
	"bytes"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/loader"
)

func TestTablesFromRecords(t *testing.T) {
	l := LatencyResult{Rivals: []Diff{{Name: "optimized", Base: Interval{20, 19, 21}, Rival: Interval{18, 17, 19}, Change: Interval{-2, -2.5, -1.5}, Verdict: Faster}}}
	env := Env{Host: loader.Host{Kernel: "6.18", CPU: "Test CPU", CPUs: 2}}
	var records []*Record
	for _, kind := range []string{KindLatency, KindThroughput} {
		r, err := NewRecord(kind, "xdp1", 1, env, l)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	for _, c := range []struct {
		make func([]*Record) (*Table, error)
		want []string
	}{
		{LatencyTable, []string{"before ns", "xdp1", "20.00", "18.00", "-2.00 (-2.50 to -1.50)", "-10.0", "faster", "Linux 6.18, Test CPU, 2 CPUs."}},
		{ThroughputTable, []string{"before Mpps", "xdp1", "50.00", "55.56", "-10.0", "faster"}},
	} {
		tab, err := c.make(records)
		if err != nil {
			t.Fatal(err)
		}
		var md, tsv bytes.Buffer
		if err := tab.Markdown(&md); err != nil {
			t.Fatal(err)
		}
		if err := tab.TSV(&tsv); err != nil {
			t.Fatal(err)
		}
		for _, w := range c.want {
			if !strings.Contains(md.String(), w) {
				t.Errorf("%q is not in\n%s", w, md.String())
			}
		}
		if lines := strings.Split(strings.TrimSpace(tsv.String()), "\n"); len(lines) != 2 || strings.Count(lines[0], "\t") != strings.Count(lines[1], "\t") {
			t.Errorf("TSV:\n%s", tsv.String())
		}
		t.Logf("\n%s", md.String())
	}
}
