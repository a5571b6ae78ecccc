package main

import (
	"bytes"
	delf "debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/loader"
)

const switched = header + `
const volatile int on = DEFAULT;
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); } m SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 k = ctx->rx_queue_index & 3;
	__u64 *v;

	if (!on)
		return OTHERWISE;
	v = bpf_map_lookup_elem(&m, &k);
	if (!v)
		return ctx->ingress_ifindex;
	*v += 7;
	return XDP_PASS;
}`

// setConstants fills the constants of an object with ones, as a loader may.
func setConstants(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := delf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	s := f.Section(".rodata")
	if s == nil || s.Size == 0 {
		t.Fatal("no constants")
	}
	copy(b[s.Offset:], bytes.Repeat([]byte{1}, int(s.Size)))
	return b
}

// What a constant switches off is seen by the verifier, too: an output loads with
// whatever constants its input does. Where the input needs those it has, the report
// says so.
func TestConstantsThatALoaderSets(t *testing.T) {
	needRoot(t)
	k, err := loader.NewKernel()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for _, c := range []struct {
		flags string
		note  bool
	}{{"-DOTHERWISE=XDP_DROP -DDEFAULT=0", false}, {"-DOTHERWISE=*(int*)(long)ctx->data -DDEFAULT=1", true}} {
		in, out := object(t, switched, strings.Fields(c.flags)...), filepath.Join(t.TempDir(), "out.o")
		text, msg, code := run(t, "optimize", in, "-o", out, "-O1", "--objective", "size")
		if code != 0 || !strings.Contains(text, "proved") {
			t.Fatalf("%s: exit code %d: %s%s", c.flags, code, text, msg)
		}
		r, err := k.Load(t.Context(), setConstants(t, out), "count")
		if err != nil || !r.Accepted {
			t.Errorf("%s: the output does not load with other constants: %v, %+v", c.flags, err, r)
		}
		report, err := os.ReadFile(out + ".report.txt")
		if err != nil || strings.Contains(string(report), "only with the constants") != c.note {
			t.Errorf("%s: %v: %s", c.flags, err, report)
		}
	}
}
