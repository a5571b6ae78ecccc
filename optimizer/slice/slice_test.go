package slice

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// functions are the bodies of all test cases of the passes and of this package.
func functions(t *testing.T) map[string]*prog.Func {
	t.Helper()
	out := map[string]*prog.Func{}
	for _, glob := range []string{"testdata/*.txt", "../pass/testdata/*.txt"} {
		files, _ := filepath.Glob(glob)
		if len(files) == 0 {
			t.Fatalf("no cases in %s", glob)
		}
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text := string(b)
			if _, rest, ok := strings.Cut(text, "-- before --\n"); ok {
				text, _, _ = strings.Cut(rest, "-- after --\n")
			}
			f, err := prog.ParseFunc(name, text)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = f
		}
	}
	return out
}

// A slice lowered and put back as it is computes the same, wherever it is.
func TestPuttingSlicesBackIsProved(t *testing.T) {
	v, err := equiv.New(equiv.Options{Solver: "auto"})
	if err != nil && os.Getenv("SUPERBPF_REQUIRE_Z3") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	sites := 0
	for name, f := range functions(t) {
		for _, s := range Find(f) {
			code := s.Lower(&s.Term, 4)
			if code == nil {
				continue // registers did not suffice
			}
			if n := Slots(code); n > s.Slots {
				t.Errorf("%s at %d: %d slots became %d: %s", name, s.Root, s.Slots, n, s.Term.String())
			}
			g, err := Apply(f, []Edit{{s, code}})
			if err != nil {
				t.Fatal(err)
			}
			g.Compact()
			sites++
			if r := v.Func(context.Background(), f, g); r.Verdict != equiv.Equal {
				t.Errorf("%s at %d: %s: %v: %s", name, s.Root, s.Term.String(), r.Verdict, r.Reason)
			}
		}
	}
	if sites < 100 {
		t.Errorf("only %d sites", sites)
	}
}

// Slices are the same however their code is written.
func TestTermsAreCanonical(t *testing.T) {
	forms := []string{
		"r2 = r1\nr2 <<= 8\nr3 = 255\nr3 &= r1\nr2 += r3\nr0 = r2\nexit",
		"r5 = r1\nr5 &= 255\nr4 = 3\nr6 = r1\nr6 <<= 8\nr0 = r5\nr0 += r6\nexit",
	}
	var want string
	for _, text := range forms {
		f, err := prog.ParseFunc("f", "subprogram 1\n"+text)
		if err != nil {
			t.Fatal(err)
		}
		longest := ""
		for _, s := range Find(f) {
			if got := s.Term.String(); len(got) > len(longest) {
				longest = got
			}
		}
		if want == "" {
			want = longest
		}
		if longest != want || want != "add64r(and64(a, 255), lsh64(a, 8))" {
			t.Errorf("%q of\n%s", longest, text)
		}
	}
}

// A term computes in lockstep what its text says.
func TestRun(t *testing.T) {
	var b Builder
	x := b.Add(1, Input(0), None, 5) // row 1 is add64
	term, from := b.Term(x)
	if len(from) != 1 || term.String() != "add64(a, 5)" {
		t.Fatalf("%v %s", from, term.String())
	}
	in := []interp.Lanes{{7, 8}}
	if got := term.Run(in, nil, make([]interp.Lanes, 1)); got[0] != 12 || got[1] != 13 {
		t.Errorf("%v", got)
	}
}
