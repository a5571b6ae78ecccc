package pass

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// settle applies all passes for an instruction set level, as long as that makes
// the function no longer and is proved.
func settle(t *testing.T, v, judge *equiv.Validator, f *prog.Func, mcpu int) *prog.Func {
	for range 6 {
		before := f
		for _, p := range All(Config{MCPU: mcpu, Validator: v, Disable: map[string]bool{"layout": true}}) {
			g, _ := p.Run(t.Context(), f, all)
			if g != nil && g.Slots() <= f.Slots() && judge.Func(context.Background(), f, g).Verdict == equiv.Equal {
				f = g
			}
		}
		if prog.SameCodeRefs(before, f) {
			break
		}
	}
	return f
}

// Code for old kernels uses the instructions of newer ones where these are
// allowed, and no instruction of a level that is not.
func TestLowering(t *testing.T) {
	v, judge := validator(t, "none"), validator(t, "auto")
	files, _ := filepath.Glob("testdata/lower/*.txt")
	if len(files) == 0 {
		t.Fatal("no cases in testdata/lower")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		head, text, ok := strings.Cut(string(b), "-- before --\n")
		want, ok2 := strings.CutPrefix(strings.TrimSpace(head), "uses ")
		if !ok || !ok2 {
			t.Fatalf("%s: want the rows it uses, and a function", name)
		}
		f, err := prog.ParseFunc(name, text)
		if err != nil {
			t.Fatal(err)
		}
		for mcpu := 1; mcpu <= 4; mcpu++ {
			g := settle(t, v, judge, f, mcpu)
			listing := strings.Join(pipeline.Listing(g), "\n")
			var rows []string
			for k := range g.Insns {
				row := g.Insns[k].Row()
				rows = append(rows, row.Name)
				if int(row.MinCPU) > mcpu {
					t.Errorf("%s: %s at level %d:\n%s", name, row.Name, mcpu, listing)
				}
			}
			if mcpu < 4 {
				continue
			}
			for _, w := range strings.Fields(want) {
				if isa.ByName(w) == 0 {
					t.Fatalf("%s: no row %s", name, w)
				}
				if !slices.Contains(rows, w) {
					t.Errorf("%s: no %s in\n%s", name, w, listing)
				}
			}
		}
	}
}

// No pass, at any site, uses an instruction of a level that is not allowed.
func TestLevelsAreKept(t *testing.T) {
	v := validator(t, "none")
	newest := func(f *prog.Func) (row *isa.Row) {
		row = f.Insns[0].Row()
		for k := range f.Insns {
			if r := f.Insns[k].Row(); r.MinCPU > row.MinCPU {
				row = r
			}
		}
		return row
	}
	for name, c := range readCases(t) {
		for mcpu := 1; mcpu <= 3; mcpu++ {
			if int(newest(c.before).MinCPU) > mcpu {
				continue
			}
			for _, p := range All(Config{MCPU: mcpu, Validator: v}) {
				if g, _ := p.Run(t.Context(), c.before, all); g != nil && int(newest(g).MinCPU) > mcpu {
					t.Errorf("%s: %s uses %s at level %d", name, p.Name(), newest(g).Name, mcpu)
				}
			}
		}
	}
}
