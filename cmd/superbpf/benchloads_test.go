package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader/kerneltest"
	"github.com/superbpf/superbpf/loader/tools"
)

const linkedA = `#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, __u64); } shared SEC(".maps");
const volatile int bound = 3;
int total;
__attribute__((noinline)) int weigh(int n) { total += n; return n > bound ? n * 3 : n; }
SEC("xdp") int count(struct xdp_md *ctx) {
	__u32 k = 1; __u64 *v = bpf_map_lookup_elem(&shared, &k);
	if (v) *v += weigh(ctx->rx_queue_index);
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
`

const linkedB = `#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
extern struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, __u64); } shared SEC(".maps");
extern int weigh(int n);
static __attribute__((noinline)) int own(struct __sk_buff *skb) { return skb->len & 7; }
SEC("tc") int also(struct __sk_buff *skb) {
	__u32 k = 0; __u64 *v = bpf_map_lookup_elem(&shared, &k);
	if (v) *v += weigh(own(skb));
	return 0;
}
`

const relocated = `#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct task_struct { int pid; char comm[16]; struct task_struct *real_parent; } __attribute__((preserve_access_index));
int first, second;
SEC("raw_tp/sched_switch") int field(void *ctx) {
	struct task_struct *t = (void *)bpf_get_current_task(), *parent = 0;
	int pid = 0;
	bpf_probe_read_kernel(&parent, sizeof(parent), &t->real_parent);
	if (parent)
		bpf_probe_read_kernel(&pid, sizeof(pid), &parent->pid);
	first += pid;
	second += __builtin_preserve_field_info(t->comm, 0);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
`

// Whatever form an object is written in, every loader here loads it where it
// loads the original: objects of all suites and of each odd kind, at all
// instruction set levels, stripped, and linked from several.
func TestWrittenObjectsLoad(t *testing.T) {
	kerneltest.Require(t)
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		p := filepath.Join(dir, name+".o")
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	get := func(file string) []byte {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	all, err := benchmarks.Load("all")
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for n, b := range all {
		raw, err := b.Compile(context.Background(), []string{"O2", "O1", "O3"}[n%3], fmt.Sprint("v", 1+n%4))
		if err != nil {
			t.Fatal(err)
		}
		put(b.Name, raw)
		want++
	}
	for n, name := range []string{"sample", "tables", "calls", "relocated"} {
		text := relocated
		if name != "relocated" {
			text = string(get("../../optimizer/elf/testdata/" + name + ".c"))
		}
		for _, cpu := range []string{"v2", "v3"} {
			put(name+cpu, get(object(t, text, "-mcpu="+cpu)))
			want++
		}
		if strip, err := exec.LookPath("llvm-strip"); err == nil {
			file := put(name+"-stripped", get(object(t, text, fmt.Sprint("-mcpu=v", 1+n))))
			if b, err := exec.Command(strip, "-g", file).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, b)
			}
			want++
		}
	}
	if _, err := exec.LookPath("bpftool"); err == nil {
		out := filepath.Join(dir, "linked.o")
		if b, err := exec.Command("bpftool", "gen", "object", out, object(t, linkedA), object(t, linkedB)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		want++
	}
	text, msg, code := run(t, "bench", "loads", dir)
	rows := strings.Count(text, ".o ")
	if code != 0 || rows != want || strings.Contains(text, "not read") {
		t.Errorf("exit code %d, %d objects of %d: %s%s", code, rows, want, text, msg)
	}
	for _, tool := range tools.All() {
		if err := tool.Available(); err != nil {
			t.Log("without ", tool.Name, ": ", err)
		}
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(strings.ReplaceAll(line, "|", " "))
		// Each loads at least by one way: a row of zeros would compare nothing.
		if len(f) > 4 && strings.HasSuffix(f[1], ".o") && strings.Trim(strings.Join(f[4:], ""), "0-") == "" {
			t.Errorf("nothing loads: %s", line)
		}
	}
}
