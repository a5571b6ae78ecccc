package benchmarks

import (
	"context"
	"errors"
	"os"
	"testing"
)

func TestEveryPaperProgramIsThere(t *testing.T) {
	rows, err := PaperSizes()
	if err != nil || len(rows) != 19 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	suite, err := Load("k2")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, b := range suite {
		have[b.Paper] = true
	}
	for _, r := range rows {
		if !have[r.Program] {
			t.Errorf("%s is missing", r.Program)
		}
	}
}

// The paper's tables are read whole: every figure, and only of its programs.
func TestPaperTables(t *testing.T) {
	rates, err := PaperRates()
	if err != nil || len(rates) != 6 {
		t.Fatalf("%d rates, %v", len(rates), err)
	}
	for _, r := range rates {
		if _, ok := Paper(r.Program); !ok || r.K2 < r.Best() || r.O2 <= 0 {
			t.Errorf("%+v", r)
		}
	}
	latencies, err := PaperLatencies()
	if err != nil || len(latencies) != 16 {
		t.Fatalf("%d latencies, %v", len(latencies), err)
	}
	for _, l := range latencies {
		if _, ok := Paper(l.Program); !ok || l.K2 > l.Clang || l.K2 <= 0 || l.Mpps <= 0 {
			t.Errorf("%+v", l)
		}
	}
}

func TestAllCompile(t *testing.T) {
	if _, err := Clang(); errors.Is(err, ErrNoClang) {
		if os.Getenv("SUPERBPF_REQUIRE_KERNEL") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	all, err := Load("all")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		for _, cpu := range []string{"v1", "v2", "v3", "v4"} {
			if _, err := b.Compile(context.Background(), "O2", cpu); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestPaperOfProofs(t *testing.T) {
	rows, err := PaperOfProofs()
	if err != nil {
		t.Fatal(err)
	}
	cached := 0
	for _, r := range rows {
		if r.All == "" || r.NoTypes == "" {
			t.Errorf("%+v", r)
		}
		if r.Calls > 0 {
			cached++
			if r.Hits > r.Calls || r.HitRate() == "" {
				t.Errorf("%+v", r)
			}
		}
	}
	if len(rows) != 8 || cached != 7 {
		t.Errorf("%d programs, %d with a hit rate", len(rows), cached)
	}
}
