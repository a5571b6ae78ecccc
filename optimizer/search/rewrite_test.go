package search

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/slice"
)

// Each file of testdata is a function and, in its first line, the most slots
// that enumeration may leave. What it leaves is proved, and the same each time.
func TestEnumerationShortens(t *testing.T) {
	v, err := equiv.New(equiv.Options{Solver: "auto"})
	if err != nil && os.Getenv("SUPERBPF_REQUIRE_Z3") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no cases in testdata")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := prog.ParseFunc(name, string(b))
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for range 2 {
			w := &Rewrite{Finder: &Enumeration{Enumerator: &Enumerator{MCPU: 4}}, MCPU: 4}
			g := f
			for range 10 {
				h, _ := w.Run(context.Background(), g, func(int) bool { return true })
				if h == nil {
					break
				}
				h.Compact()
				g = h
			}
			if r := v.Func(context.Background(), f, g); r.Verdict != equiv.Equal {
				t.Errorf("%s: %v: %s", name, r.Verdict, r.Reason)
			}
			texts = append(texts, prog.FormatFunc(g))
			var most int
			if _, err := sscan(string(b), &most); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if g.Slots() > most {
				t.Errorf("%s: %d slots, want %d:\n%s", name, g.Slots(), most, texts[0])
			}
		}
		if texts[0] != texts[1] {
			t.Errorf("%s: two runs differ", name)
		}
	}
}

// Sites that nobody allows stay, and every site alone keeps its number.
func TestSitesAreNumberedAlike(t *testing.T) {
	b, err := os.ReadFile("testdata/two.txt")
	if err != nil {
		t.Fatal(err)
	}
	f, err := prog.ParseFunc("two", string(b))
	if err != nil {
		t.Fatal(err)
	}
	w := &Rewrite{Finder: &Enumeration{Enumerator: &Enumerator{MCPU: 4}}, MCPU: 4}
	if g, _ := w.Run(t.Context(), f, func(int) bool { return false }); g != nil {
		t.Error("it changed something")
	}
	seen := map[string]int{}
	for site := range 50 {
		g, changes := w.Run(t.Context(), f, func(s int) bool { return s == site })
		if g == nil {
			break
		}
		if len(changes) != 1 {
			t.Fatalf("%d changes at one site", len(changes))
		}
		seen[changes[0].Text]++
	}
	if len(seen) < 2 {
		t.Errorf("sites: %v", seen)
	}
}

// A pointer may be added to, not shifted.
func TestPointersAreKept(t *testing.T) {
	for text, want := range map[string]bool{"add64(add64r(a, b), 8)": true, "add32(a, 1)": false, "or64r(a, b)": false, "sub64r(b, a)": false} {
		x, err := slice.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := pointersKept(&x, []slice.Fact{{Pointer: true}, {}}); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// sscan reads the number of slots from a case's first line, "# at most N slots".
func sscan(text string, most *int) (int, error) {
	line, _, _ := strings.Cut(text, "\n")
	return fmt.Sscanf(line, "# at most %d slots", most)
}
