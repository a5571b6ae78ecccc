package main

import (
	"encoding/json"
	"strings"
	"testing"
)

const counted = header + `
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, ENTRIES); __type(key, __u32); __type(value, __u64); } m SEC(".maps");
SEC("xdp") int NAME(struct xdp_md *ctx)
{
	unsigned char *p = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 k = 5;
	__u64 *v;

	if (p + 14 > end || p[12] != 0x86 || p[13] != 0xdd)
		return XDP_PASS;
	v = bpf_map_lookup_elem(&m, &k);
	if (v)
		*v += INC;
	return XDP_PASS;
}
#ifdef OTHER
SEC("tc") int other(struct __sk_buff *skb) { return skb->len > 100; }
#endif
`

// verdicts verifies a pair without a solver: the search for inputs must tell.
func verdicts(t *testing.T, a, b string) (verifyResult, int) {
	t.Helper()
	text, msg, code := run(t, "verify", a, b, "--solver", "none", "--json")
	var r verifyResult
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v: %s %s", err, text, msg)
	}
	return r, code
}

// A pair that superbpf did not make: what differs is shown by an input, in both
// forms of output.
func TestVerifyShowsTheDifference(t *testing.T) {
	a := object(t, counted, "-DNAME=p", "-DINC=1", "-DENTRIES=8")
	b := object(t, counted, "-DNAME=p", "-DINC=2", "-DENTRIES=8")
	r, code := verdicts(t, a, b)
	if code != exitUnproved || len(r.Functions) != 1 || r.Functions[0].Verdict != "Different" {
		t.Fatalf("exit code %d: %+v", code, r)
	}
	c := r.Functions[0].Counterexample
	if c == nil || !strings.HasPrefix(c.Packet, strings.Repeat("00", 12)+"86dd00") {
		t.Errorf("counterexample %+v", c)
	} else if len(c.Maps["m"]) != 1 || c.Maps["m"][0].Key != "05000000" || c.Kernel == "" {
		t.Errorf("counterexample %+v", c)
	}
	text, _, _ := run(t, "verify", a, b, "--solver", "none")
	for _, want := range []string{"86dd", "map m", "05000000", "kernel"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestVerifyConfirmsInTheKernel(t *testing.T) {
	needRoot(t)
	r, _ := verdicts(t, object(t, counted, "-DNAME=p", "-DINC=1", "-DENTRIES=8"), object(t, counted, "-DNAME=p", "-DINC=2", "-DENTRIES=8"))
	if c := r.Functions[0].Counterexample; c == nil || !strings.HasPrefix(c.Kernel, "confirmed: map m") {
		t.Errorf("%+v", c)
	}
}

func TestVerifyReportsWhatIsNotThere(t *testing.T) {
	a := object(t, counted, "-DNAME=p", "-DINC=1", "-DENTRIES=8", "-DOTHER")
	for name, c := range map[string]struct {
		b    string
		code int
		ok   func(r verifyResult) bool
	}{
		"itself":  {a, 0, func(r verifyResult) bool { return len(r.Functions) == 2 }},
		"renamed": {object(t, counted, "-DNAME=q", "-DINC=1", "-DENTRIES=8", "-DOTHER"), 0, func(r verifyResult) bool { return r.Functions[0].Renamed == "q" }},
		"missing": {object(t, counted, "-DNAME=p", "-DINC=1", "-DENTRIES=8"), exitUnproved, func(r verifyResult) bool { return r.Functions[1].Verdict == "Missing" }},
		"map": {object(t, counted, "-DNAME=p", "-DINC=1", "-DENTRIES=9", "-DOTHER"), exitUnproved,
			func(r verifyResult) bool {
				return len(r.Maps) == 1 && strings.Contains(r.Maps[0].What, "max_entries 8 and 9")
			}},
	} {
		if r, code := verdicts(t, a, c.b); code != c.code || !c.ok(r) {
			t.Errorf("%s: exit code %d, %+v", name, code, r)
		}
	}
	b := object(t, counted, "-DNAME=p", "-DINC=1", "-DENTRIES=8")
	if r, code := verdicts(t, b, a); code != 0 || len(r.Extra) != 1 || r.Extra[0] != "other" {
		t.Errorf("extra: exit code %d, %+v", code, r)
	}
}
