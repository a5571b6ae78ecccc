package loader

import (
	"strings"
	"testing"
)

// What a log says decides whether the verifier is asked once more.
func TestLogIsComplete(t *testing.T) {
	walk := strings.Repeat("12: (bf) r2 = r1\n", 200)
	const stats = "processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"
	for _, c := range []struct {
		log            string
		ended, givenUp bool
	}{
		{walk, false, false},
		{walk + "R1 !read_ok\n" + stats, true, false},
		{"processed 7 insns\n" + walk, false, false},
		{"BPF program is too large. Processed 1000001 insn\nstack depth 8\n" + stats, true, true},
		{"", false, false},
	} {
		if ended(c.log) != c.ended || givenUp(c.log) != c.givenUp {
			t.Errorf("...%q: ended %v, given up %v", c.log[max(0, len(c.log)-120):], ended(c.log), givenUp(c.log))
		}
	}
}
