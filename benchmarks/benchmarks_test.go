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
