package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Pairs that differ in what they add to a map are told apart, even where the map
// is empty at first; equal ones and unchanged ones are counted.
func TestBenchDiffer(t *testing.T) {
	needRoot(t)
	in, out, results := t.TempDir(), t.TempDir(), t.TempDir()
	put := func(dir, name, from string) {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	one := object(t, counted, "-DNAME=p", "-DINC=1", "-DENTRIES=8")
	put(in, "same.o", one)
	put(out, "same.o", one)
	put(in, "equal.o", one)
	put(out, "equal.o", object(t, counted, "-DNAME=p", "-DINC=({ volatile int one = 1; one; })", "-DENTRIES=8"))
	args := []string{"bench", "differ", in, "--pairs", out, "--packets", "500", "--results", results}
	text, _, code := run(t, args...)
	if code != 0 || !strings.Contains(text, "2 objects, 1 programs with changed code, 3 rounds") {
		t.Fatalf("exit code %d:\n%s", code, text)
	}
	if _, err := os.Stat(filepath.Join(results, "differ.tsv")); err != nil {
		t.Error(err)
	}
	put(in, "unlike.o", one)
	put(out, "unlike.o", object(t, counted, "-DNAME=p", "-DINC=2", "-DENTRIES=8"))
	text, _, code = run(t, args...)
	if code != exitDifferent || !strings.Contains(text, "unlike.o p: round 1") || !strings.Contains(text, "map m") {
		t.Fatalf("exit code %d:\n%s", code, text)
	}
	if _, msg, code := run(t, "bench", "differ"); code != exitUsage {
		t.Errorf("without objects: exit code %d, %s", code, msg)
	}
}

// What the kernel gets tells objects apart whose programs only name other places,
// or call other functions.
func TestDifferUnchanged(t *testing.T) {
	needRoot(t)
	const code = header + `
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } m SEC(".maps"), n SEC(".maps");
__u64 a = 1, b = 2;
static __attribute__((noinline)) long f(long x) { asm volatile("" : "+r"(x)); return x * 3; }
static __attribute__((noinline)) long g(long x) { asm volatile("" : "+r"(x)); return x * 7; }
SEC("xdp") int p(struct xdp_md *ctx)
{
	__u32 k = 0;
	__u64 *v = bpf_map_lookup_elem(&MAP, &k);
	return v ? *v + VARIABLE + f(1) - g(2) + CALL(3) : 0;
}
`
	read := func(defines ...string) []byte {
		b, err := os.ReadFile(object(t, code, defines...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	x := read("-DMAP=m", "-DVARIABLE=a", "-DCALL=f")
	for _, c := range []struct {
		defines []string
		unlike  int
	}{
		{[]string{"-DMAP=m", "-DVARIABLE=a", "-DCALL=f"}, 0},
		{[]string{"-DMAP=n", "-DVARIABLE=a", "-DCALL=f"}, 1},
		{[]string{"-DMAP=m", "-DVARIABLE=b", "-DCALL=f"}, 1},
		{[]string{"-DMAP=m", "-DVARIABLE=a", "-DCALL=g"}, 1},
	} {
		tally := &differTally{apart: map[string]int{}}
		(&differSettings{}).unchanged(io.Discard, tally, "x.o", x, read(c.defines...), "p")
		if len(tally.unlike) != c.unlike || len(tally.apart) != 1-c.unlike {
			t.Errorf("%v: unlike %q, apart %v", c.defines, tally.unlike, tally.apart)
		}
	}
}

// Objects are found where links lead to them.
func TestObjectFiles(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	link := func(to string, name ...string) string {
		at := filepath.Join(name...)
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	write(t, filepath.Join(other, "a.o"), "")
	write(t, filepath.Join(dir, "b.o"), "")
	link(filepath.Join(other, "a.o"), dir, "c.o")
	link(filepath.Join(other, "gone.o"), dir, "d.o")
	link(dir, dir, "again.o")
	folder, file := link(dir, other, "folder"), link(filepath.Join(dir, "b.o"), other, "e")
	got, err := objectFiles([]string{folder, file})
	want := []string{filepath.Join(dir, "b.o"), filepath.Join(dir, "c.o"), file}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}
