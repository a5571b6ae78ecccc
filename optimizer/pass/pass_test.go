package pass

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
)

func validator(t *testing.T, solver string) *equiv.Validator {
	t.Helper()
	v, err := equiv.New(equiv.Options{Solver: solver, AllowAtomics: true})
	if err != nil && os.Getenv("SUPERBPF_REQUIRE_Z3") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func TestTableNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range table {
		if seen[p.Name] || p.Doc == "" {
			t.Errorf("pass %q has a double or no description", p.Name)
		}
		seen[p.Name] = true
	}
}

// testCase is a file of testdata: the pass, a function, and what the pass
// makes of it.
type testCase struct {
	pass          string
	before, after *prog.Func
}

func readCases(t *testing.T) map[string]testCase {
	t.Helper()
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no cases in testdata")
	}
	out := map[string]testCase{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		head, rest, ok1 := strings.Cut(string(b), "-- before --\n")
		before, after, ok2 := strings.Cut(rest, "-- after --\n")
		which, ok3 := strings.CutPrefix(strings.TrimSpace(head), "pass ")
		if !ok1 || !ok2 || !ok3 {
			t.Fatalf("%s: want a pass, a before and an after", name)
		}
		c := testCase{pass: which}
		if c.before, err = prog.ParseFunc(name, before); err != nil {
			t.Fatal(err)
		}
		if c.after, err = prog.ParseFunc(name, after); err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(name), ".txt")] = c
	}
	return out
}

func all(int) bool { return true }

func TestCases(t *testing.T) {
	v := validator(t, "none")
	for name, c := range readCases(t) {
		t.Run(name, func(t *testing.T) {
			for _, p := range All(Config{MCPU: 4, Validator: v, AllowAtomics: true}) {
				if p.Name() != c.pass {
					continue
				}
				got, changes := p.Run(t.Context(), c.before, all)
				if got == nil {
					t.Fatal("found nothing")
				}
				if !prog.SameCodeRefs(got, c.after) {
					t.Errorf("%d changes gave\n%s", len(changes), strings.Join(pipeline.Listing(got), "\n"))
				}
				return
			}
			t.Fatalf("no pass %q", c.pass)
		})
	}
}

// Every pass, on every function of testdata, at every site on its own: the
// result is a valid function and is proved.
func TestEverySiteIsProved(t *testing.T) {
	v, judge := validator(t, "none"), validator(t, "auto")
	sites := 0
	for name, c := range readCases(t) {
		for _, f := range []*prog.Func{c.before, c.after} {
			for _, p := range All(Config{MCPU: 4, Validator: v, AllowAtomics: true}) {
				for site := 0; ; site++ {
					g, changes := p.Run(context.Background(), f, func(s int) bool { return s == site })
					if g == nil {
						break
					}
					sites++
					if err := prog.Check(g); err != nil {
						t.Errorf("%s, %s, site %d: %v", name, p.Name(), site, err)
					} else if r := judge.Func(context.Background(), f, g); r.Verdict != equiv.Equal {
						t.Errorf("%s, %s (%s): %v: %s", name, p.Name(), changes[0].Text, r.Verdict, r.Reason)
					}
				}
			}
		}
	}
	if sites < 20 {
		t.Errorf("only %d sites", sites)
	}
}

func TestRefusedSitesLeaveTheFunctionAlone(t *testing.T) {
	v := validator(t, "none")
	for name, c := range readCases(t) {
		for _, p := range All(Config{MCPU: 4, Validator: v, AllowAtomics: true}) {
			if g, changes := p.Run(t.Context(), c.before, func(int) bool { return false }); g != nil || changes != nil {
				t.Errorf("%s: %s changed something nobody allowed", name, p.Name())
			}
		}
	}
}
