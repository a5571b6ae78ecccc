package loader

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each case is the end of a log and, behind "want:", what it says: the kind,
// the slot, the register, the line.
func TestComplaints(t *testing.T) {
	files, err := filepath.Glob("testdata/logs/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	kinds := map[ReasonKind]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for n, c := range strings.Split(strings.TrimSpace(string(b)), "\n---\n") {
			log, want, ok := strings.Cut(c, "\nwant: ")
			if !ok {
				t.Fatalf("%s: case %d has no want", f, n+1)
			}
			r := ParseLog(strings.Split(log, "\n"))
			kinds[r.Kind] = true
			if got := fmt.Sprintf("%s; slot %d; R%d; %s", r.Kind, r.Slot, r.Register, r.Line); got != strings.TrimSpace(want) {
				t.Errorf("%s: case %d\n got: %s\nwant: %s", f, n+1, got, want)
			}
		}
	}
	for _, c := range complaints {
		if !kinds[c.kind] {
			t.Errorf("no case for %q", c.kind)
		}
	}
}

func TestStatistics(t *testing.T) {
	s := ParseStats("verification time 311 usec\nstack depth 40+0+16\nprocessed 1234 insns (limit 1000000) max_states_per_insn 7 total_states 90 peak_states 45 mark_read 12\n")
	if fmt.Sprint(s) != "{1234 7 90 45 [40 0 16]}" {
		t.Errorf("got %+v", s)
	}
	if s := ParseStats(""); s.Insns != 0 || s.Stack != nil {
		t.Errorf("from nothing: %+v", s)
	}
}
