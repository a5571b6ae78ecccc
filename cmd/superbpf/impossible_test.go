package main

import (
	"os"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/pass"
	"github.com/superbpf/superbpf/optimizer/prog"
)

const neverNull = header + `
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); } m SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 k = ctx->rx_queue_index & 3;
	__u64 *v = bpf_map_lookup_elem(&m, &k);

	if (!v)
		return ctx->ingress_ifindex;
	*v = 7;
	return XDP_PASS;
}`

// Both ways of a check that never fails are proved to be rid of: without it, and
// with another target. The kernel's checker does not remember that the key is in
// range: it refuses the first and takes the second.
func TestWayNeverTakenStaysForTheKernel(t *testing.T) {
	needRoot(t)
	raw, err := os.ReadFile(object(t, neverNull))
	if err != nil {
		t.Fatal(err)
	}
	o, err := elf.Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	k, err := loader.NewKernel()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	v, err := equiv.New(equiv.Options{Solver: "none"})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	f := o.Functions()[0]
	judge := func(g *prog.Func) (*loader.LoadResult, equiv.Result) {
		t.Helper()
		out, err := o.Encode(map[int]*prog.Func{0: g})
		if err != nil {
			t.Fatal(err)
		}
		r, err := k.Load(t.Context(), out, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		return r, v.Func(t.Context(), f, g)
	}

	folded, checks := f.Clone(), 0
	for i := range folded.Insns {
		in := &folded.Insns[i]
		if in.Row().Kind != isa.KindCondJump {
			continue
		}
		checks++
		if in.Row().Fn == isa.FnJeq {
			folded.Insns[i] = prog.New(isa.Insn{Op: isa.Nop})
		} else {
			to := in.Target
			folded.Insns[i] = prog.New(isa.Insn{Op: isa.Ja})
			folded.Insns[i].Target = to
		}
	}
	if checks != 1 {
		t.Fatalf("%d checks", checks)
	}
	pass.Clean(folded)
	if r, proof := judge(folded); proof.Verdict != equiv.Equal || r.Accepted || !strings.Contains(r.Log, "map_value_or_null") {
		t.Errorf("without the check: %v (%s), accepted is %t: %s", proof.Verdict, proof.Reason, r.Accepted, r.Log)
	}
	for _, p := range pass.All(pass.Config{MCPU: 3, Validator: v}) {
		if p.Name() != "impossible" {
			continue
		}
		g, changes := p.Run(t.Context(), f, func(int) bool { return true })
		if len(changes) != 1 {
			t.Fatalf("%d changes", len(changes))
		}
		g.Compact()
		if r, proof := judge(g); proof.Verdict != equiv.Equal || !r.Accepted {
			t.Errorf("with another target: %v (%s), accepted is %t: %s", proof.Verdict, proof.Reason, r.Accepted, r.Log)
		}
	}
}
