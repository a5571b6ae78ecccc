package pass

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// validator makes a validator for functions that call those of a list.
func validator(t *testing.T, solver string, called ...*prog.Func) *equiv.Validator {
	t.Helper()
	callee := func(name string) *prog.Func {
		for _, f := range called {
			if f.Name == name {
				return f
			}
		}
		return nil
	}
	v, err := equiv.New(equiv.Options{Solver: solver, AllowAtomics: true, Callee: callee})
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

// testCase is a file of testdata: the pass, a function, what the pass makes of it,
// and functions that it calls.
type testCase struct {
	pass          string
	before, after *prog.Func
	called        []*prog.Func
}

func readCases(t *testing.T) map[string]testCase {
	t.Helper()
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no cases in testdata")
	}
	out := map[string]testCase{}
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		which, ok := strings.CutPrefix(strings.TrimSpace(string(a.Comment)), "pass ")
		c := testCase{pass: which}
		for _, part := range a.Files {
			called, isFunc := strings.CutPrefix(part.Name, "func ")
			if !isFunc {
				called = name
			}
			f, err := prog.ParseFunc(called, string(part.Data))
			switch {
			case err != nil:
				t.Fatal(err)
			case isFunc:
				c.called = append(c.called, f)
			case part.Name == "before":
				c.before = f
			case part.Name == "after":
				c.after = f
			}
		}
		if !ok || c.before == nil || c.after == nil {
			t.Fatalf("%s: want a pass, a before and an after", name)
		}
		for k := range c.called {
			c.called[k] = prog.AdoptRefs(c.before, c.called[k])
		}
		out[strings.TrimSuffix(filepath.Base(name), ".txt")] = c
	}
	return out
}

func all(int) bool { return true }

func TestCases(t *testing.T) {
	for name, c := range readCases(t) {
		t.Run(name, func(t *testing.T) {
			v := validator(t, "none", c.called...)
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
	sites := 0
	for name, c := range readCases(t) {
		v, judge := validator(t, "none", c.called...), validator(t, "auto", c.called...)
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
	for name, c := range readCases(t) {
		v := validator(t, "none", c.called...)
		for _, p := range All(Config{MCPU: 4, Validator: v, AllowAtomics: true}) {
			if g, changes := p.Run(t.Context(), c.before, func(int) bool { return false }); g != nil || changes != nil {
				t.Errorf("%s: %s changed something nobody allowed", name, p.Name())
			}
		}
	}
}

// A long body that other functions call, too, stays where it is.
func TestSharedBodyStays(t *testing.T) {
	for _, c := range []struct {
		callers, slots int
		inlined        bool
	}{{1, mostShared + 1, true}, {2, mostShared, true}, {2, mostShared + 1, false}} {
		g, err := prog.ParseFunc("g", "subprogram 1\nr0 = r1\n"+strings.Repeat("r0 += r1\n", c.slots-2)+"exit\n")
		if err != nil {
			t.Fatal(err)
		}
		f, err := prog.ParseFunc("f", "r1 = *(u32 *)(r1 + 8)\ncall func g\nexit\n")
		if err != nil {
			t.Fatal(err)
		}
		v := validator(t, "none", prog.AdoptRefs(f, g))
		for _, p := range All(Config{MCPU: 4, Validator: v, Callers: func(string) int { return c.callers }}) {
			if p.Name() != Inline {
				continue
			}
			if got, _ := p.Run(t.Context(), f, all); (got != nil) != c.inlined {
				t.Errorf("%d slots, %d callers: inlined %v, want %v", c.slots, c.callers, got != nil, c.inlined)
			}
		}
	}
}
