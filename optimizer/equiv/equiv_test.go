package equiv

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/superbpf/superbpf/optimizer/prog"
)

func validator(t testing.TB, o Options) *Validator {
	v, err := New(o)
	if err != nil {
		if os.Getenv("SUPERBPF_REQUIRE_Z3") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(v.Close)
	return v
}

// Each case in testdata is two bodies and the verdict about replacing p by q,
// perhaps under options.
func TestCases(t *testing.T) {
	files := caseFiles(t)
	plain := validator(t, Options{})
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			p, q, want := readCase(t, file)
			v := forCase(t, plain, file)
			r := v.Func(context.Background(), p, q)
			if r.Verdict.String() != want {
				t.Errorf("verdict %v (%s), want %s", r.Verdict, r.Reason, want)
			}
			t.Log(r.Verdict, r.Reason)
			for _, how := range []pairing{byOrigin, everyJoin} {
				if err := newSim(context.Background(), v, p, p.Clone(), how).run(); err != nil {
					t.Errorf("p does not equal itself: %v", err)
				}
			}
		})
	}
}

// With any of what makes proofs fast or possible switched off, nothing becomes
// Equal that is not, and what needs no more than the rest still is.
func TestSwitches(t *testing.T) {
	all := 0
	for _, file := range caseFiles(t) {
		if _, _, want := readCase(t, file); want == "Equal" {
			all++
		}
	}
	for name, o := range map[string]Options{
		"quick": {NoQuick: true}, "tests": {TestsLast: true}, "reuse": {NoReuse: true}, "cuts": {NoCuts: true}, "normal forms": {Raw: true},
		"offsets": {NoOffsets: true}, "maps": {NoMaps: true}, "kinds of memory": {NoTypes: true},
		"all": {NoQuick: true, TestsLast: true, NoReuse: true, NoCuts: true, NoOffsets: true, NoMaps: true, NoTypes: true, Raw: true},
	} {
		plain := validator(t, o)
		equal := 0
		for _, file := range caseFiles(t) {
			p, q, want := readCase(t, file)
			if forCase(t, plain, file) != plain {
				continue // has options of its own
			}
			r := plain.Func(context.Background(), p, q)
			if r.Verdict == Equal {
				equal++
				// Whole paths show more than what holds at cuts.
				if want == "Different" || want == "Unknown" && !o.NoCuts {
					t.Errorf("without %s, %s is Equal (%s), want %s", name, file, r.Reason, want)
				}
			}
		}
		t.Logf("without %s: %d of %d", name, equal, all)
		if equal < 3 || name != "all" && name != "normal forms" && equal < all/2 {
			t.Errorf("without %s: %d of %d cases are Equal", name, equal, all)
		}
	}
}

func caseFiles(t testing.TB) []string {
	var files []string
	for _, glob := range []string{"testdata/*.txt", "testdata/bugs/*.txt"} {
		m, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, m...)
	}
	if len(files) < 15 {
		t.Fatalf("only %d cases found", len(files))
	}
	return files
}

// forCase is the validator for a case: plain, unless it has lines "option NAME".
func forCase(t testing.TB, plain *Validator, file string) *Validator {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	callees := map[string]*prog.Func{}
	p, _, _ := readCase(t, file)
	for _, f := range a.Files {
		if name, ok := strings.CutPrefix(f.Name, "func "); ok {
			g, err := prog.ParseFunc(name, string(f.Data))
			if err != nil {
				t.Fatal(err)
			}
			callees[name] = prog.AdoptRefs(p, g)
		}
	}
	if len(callees) > 0 {
		return validator(t, Options{Callee: func(name string) *prog.Func { return callees[name] }})
	}
	for _, l := range strings.Split(string(a.Comment), "\n") {
		switch name, ok := strings.CutPrefix(l, "option "); {
		case ok && name == "allow-atomics":
			return validator(t, Options{AllowAtomics: true})
		case ok && name == "preserve-shared":
			return validator(t, Options{PreserveShared: true})
		case ok:
			t.Fatalf("%s: no option %q", file, name)
		}
	}
	return plain
}

func readCase(t testing.TB, file string) (p, q *prog.Func, want string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(string(a.Comment), "\n") {
		if w, ok := strings.CutPrefix(l, "want "); ok {
			want = strings.TrimSpace(w)
		}
	}
	for _, f := range a.Files {
		if strings.HasPrefix(f.Name, "func ") {
			continue // see forCase
		}
		fn, err := prog.ParseFunc(f.Name, string(f.Data))
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == "p" {
			p = fn
		} else {
			q = fn
		}
	}
	if p == nil || q == nil || want == "" {
		t.Fatalf("%s: needs want, p and q", file)
	}
	return p, prog.AdoptRefs(p, q), want
}

// That a lookup finds an element depends on the map's size, which is said.
func TestArraySizesAreAssumed(t *testing.T) {
	p, q, _ := readCase(t, "testdata/array_key_in_range.txt")
	r := validator(t, Options{}).Func(context.Background(), p, q)
	if !slices.Contains(r.Assumptions, "array counts has at least 7 entries") {
		t.Errorf("%v, assumptions %q", r.Verdict, r.Assumptions)
	}
}

func TestVerdictsAreRemembered(t *testing.T) {
	v := validator(t, Options{})
	p, q, _ := readCase(t, "testdata/zext.txt")
	first := v.Func(context.Background(), p, q)
	again := v.Func(context.Background(), p.Clone(), q.Clone())
	if st := v.CacheStats(); st != (CacheStats{Hits: 1, Calls: 2}) || first.Verdict != Equal || again.Verdict != first.Verdict {
		t.Errorf("%+v, verdicts %v and %v", st, first.Verdict, again.Verdict)
	}
	// Another function, the same code: the type decides how wide the result is.
	p.Type, q.Type = prog.TypeTracing, prog.TypeTracing
	v.Func(context.Background(), p, q)
	done, cancel := context.WithCancel(context.Background())
	cancel()
	q.Insns[0].Origin = -1
	v.Func(done, p, q)
	if r := v.Func(context.Background(), p, q); r.Verdict != Equal {
		t.Errorf("a question cut off is answered with %v (%s)", r.Verdict, r.Reason)
	}
	if st := v.CacheStats(); st.Hits != 1 {
		t.Errorf("%+v", st)
	}
}
