package safety

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// Each case is a function and what the model says: "accepted", or the
// instruction that is refused and why.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d cases (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil || len(a.Files) != 1 {
				t.Fatalf("one function a case (%v)", err)
			}
			f, err := prog.ParseFunc("f", string(a.Files[0].Data))
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(a.Comment), "\n")
			v := Check(f)
			got := "want accepted"
			if v.Refused {
				got = fmt.Sprintf("want %d: %s", v.Insn, v.Reason)
			}
			if got != first || !v.Complete {
				t.Errorf("%s, complete %v; the case says %q", got, v.Complete, first)
			}
		})
	}
}
