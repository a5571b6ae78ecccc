package equiv_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/pass"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// bodies are the functions in the test cases of some packages.
func bodies(t *testing.T) []*prog.Func {
	var out []*prog.Func
	for _, pattern := range []string{"testdata/*.txt", "testdata/*/*.txt", "../pass/testdata/*.txt"} {
		files, _ := filepath.Glob(pattern)
		if len(files) == 0 {
			t.Fatalf("no files %s", pattern)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range txtar.Parse(b).Files {
				if f, err := prog.ParseFunc(file, string(part.Data)); err == nil {
					out = append(out, f)
				}
			}
		}
	}
	return out
}

// What is taken over from the values of another function is what would be computed,
// for the functions that passes make: with all of their changes, and with one.
func TestValuesTakenOver(t *testing.T) {
	v, err := equiv.New(equiv.Options{Solver: "none"})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	served, all, steps := 0, 0, 0
	check := func(f *prog.Func, by string) {
		v.Forget() // one that differs in origins alone would do, with other names
		got, err := v.Values(t.Context(), f)
		if err != nil {
			return
		}
		n, of := v.Served()
		served, all = served+n, all+of
		want, err := v.InFull(f)
		if err != nil {
			t.Fatalf("%s after %s: %v", f.Name, by, err)
		}
		if d := got.Differs(want); d != "" {
			t.Errorf("%s after %s: %s", f.Name, by, d)
		}
	}
	passes := pass.All(pass.Config{MCPU: 4, Validator: v})
	for _, f := range bodies(t) {
		check(f, "reading")
		for round := range 3 {
			for _, p := range passes {
				for site := range 3 {
					one, _ := p.Run(t.Context(), f, func(s int) bool { return s == site })
					if one == nil || round > 0 {
						break
					}
					check(one, p.Name())
					check(f, "going back")
				}
				if g, _ := p.Run(t.Context(), f, func(int) bool { return true }); g != nil {
					steps++
					f = g
					check(f, p.Name())
				}
			}
		}
	}
	t.Logf("%d of %d visits were taken over, in %d steps", served, all, steps)
	if served < 500 || steps < 100 {
		t.Errorf("%d of %d visits were taken over, in %d steps: too few to tell", served, all, steps)
	}
}

// The same code in another state is executed again.
func TestOtherStateIsNoVisit(t *testing.T) {
	v, err := equiv.New(equiv.Options{Solver: "none"})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	const text = "type xdp\nr6 = *(u32 *)(r1 + 16)\nr0 = 1\nif r6 == 7 goto join\nr0 = 2\njoin:\nr0 += 1\nexit\n"
	for _, first := range []string{"r0 = 1", "r0 = 2"} {
		f, err := prog.ParseFunc("f", strings.Replace(text, "r0 = 1", first, 1))
		if err != nil {
			t.Fatal(err)
		}
		vals, err := v.Values(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		_, known := vals.C.IsConst(vals.Before[5].Regs[0])
		if want := first == "r0 = 2"; known != want {
			t.Errorf("with %s, known at the end: %v", first, known)
		}
	}
}
