package absint

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// Each case is the functions of an object and, in "want" lines, what is known of
// a function's arguments and result. Subprograms are closed unless marked open.
func TestSummarize(t *testing.T) {
	files, _ := filepath.Glob("testdata/*/*.txt")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, at := Calls{}, map[string]int{}
			for _, x := range a.Files {
				name, open := strings.CutSuffix(x.Name, " open")
				f, err := prog.ParseFunc(name, string(x.Data))
				if err != nil {
					t.Fatal(err)
				}
				at[name] = len(c.Funcs)
				c.Funcs, c.Closed = append(c.Funcs, f), append(c.Closed, !f.Entry && !open)
			}
			c.Callee = func(r *prog.Ref) int { return at[r.Name] }
			c.Summarize()
			wants := 0
			for _, l := range strings.Split(string(a.Comment), "\n") {
				w, ok := strings.CutPrefix(l, "want ")
				if !ok {
					continue
				}
				wants++
				name, want, _ := strings.Cut(w, " ")
				f := c.Funcs[at[name]]
				if got := strings.Trim(fmt.Sprint(f.Args), "[]") + fmt.Sprintf(" -> %v", f.Result); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
			if wants == 0 {
				t.Error("nothing is wanted")
			}
		})
	}
}
