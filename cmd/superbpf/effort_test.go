package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/isa"
)

const counter = header + `
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx) {
	__u32 key = 0;
	__u64 *n = bpf_map_lookup_elem(&counts, &key);
	if (!n) return XDP_ABORTED;
	*n += 1;
	return XDP_PASS;
}
`

// -O1 times candidates only when told to.
func TestFirstLevelTimesNothing(t *testing.T) {
	needRoot(t)
	in, out := object(t, counter), filepath.Join(t.TempDir(), "out.o")
	for _, c := range []struct {
		args  []string
		timed bool
	}{
		{[]string{"-O1"}, false},
		{[]string{"-O1", "--no-measure=false"}, true},
		{[]string{"-O2", "--no-measure"}, false},
	} {
		_, msg, code := run(t, append([]string{"optimize", in, "-o", out}, c.args...)...)
		if code != 0 || strings.Contains(msg, "timing the candidates") != c.timed {
			t.Errorf("%v: exit code %d, %q", c.args, code, msg)
		}
	}
}

// A read-modify-write becomes an atomic operation for size alone or when told
// to, and the verification takes it for what it was unless told not to.
func TestWhoMakesAtomics(t *testing.T) {
	needRoot(t)
	in, out := object(t, counter), filepath.Join(t.TempDir(), "out.o")
	for _, c := range []struct {
		args    []string
		atomics int
		table   string
	}{
		{nil, 0, "latency"},
		{[]string{"--allow-atomics"}, 0, "latency-atomics"}, // allowed, and too slow,
		{[]string{"--objective", "size"}, 1, "size"},
		{[]string{"--objective", "size", "--allow-atomics=false"}, 0, "size-plain"},
		{[]string{"--objective", "size", "--preserve-shared"}, 0, "size-preserved"},
	} {
		if _, msg, code := run(t, append([]string{"optimize", in, "-o", out, "-O1"}, c.args...)...); code != 0 {
			t.Fatalf("%v: exit code %d: %s", c.args, code, msg)
		}
		raw, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		o, err := elf.Read(raw)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range o.Functions()[0].Insns {
			if o.Functions()[0].Insns[i].Row().Kind == isa.KindAtomic {
				n++
			}
		}
		if n != c.atomics {
			t.Errorf("%v: %d atomic operations, want %d", c.args, n, c.atomics)
		}
		if _, msg, code := run(t, "verify", in, out); code != 0 {
			t.Errorf("%v: verify: exit code %d: %s", c.args, code, msg)
		}
		want := 0
		if n > 0 {
			want = exitUnproved
		}
		if _, msg, code := run(t, "verify", "--allow-atomics=false", "--runs", "0", in, out); code != want {
			t.Errorf("%v: verify without atomics: exit code %d, want %d: %s", c.args, code, want, msg)
		}
		var s settings
		cmd := &cobra.Command{}
		s.flags(cmd)
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		if got := s.goal(); got != c.table {
			t.Errorf("%v: tables are named %s, want %s", c.args, got, c.table)
		}
	}
	if _, msg, code := run(t, "optimize", in, "-o", out, "--allow-atomics", "--preserve-shared"); code != exitUsage {
		t.Errorf("both options: exit code %d: %s", code, msg)
	}
}
