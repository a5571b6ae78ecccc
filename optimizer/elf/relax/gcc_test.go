package relax

import (
	delf "debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const twoMaps = `
#define SEC(s) __attribute__((section(s), used))
#define TYPE(n, t) int (*n)[t]
struct { TYPE(type, 2); TYPE(max_entries, 1); TYPE(key_size, 4); TYPE(value_size, 8); } first SEC(".maps");
struct { TYPE(type, 1); TYPE(max_entries, 7); TYPE(key_size, 4); TYPE(value_size, 4); } second SEC(".maps");
static void *(*lookup)(void *map, void *key) = (void *)1;
SEC("xdp") int both(void *ctx) { int k = 0; return !lookup(&first, &k) + !lookup(&second, &k); }
`

// GCC leaves section sizes and variable offsets out of the types of data
// sections, writes an empty .BTF.ext, and puts a map's offset into the
// instruction that loads its address.
func TestGCCsForm(t *testing.T) {
	raw := compiled(t, twoMaps)
	m, err := open(raw)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := m.section(m.find(".BTF"))
	ts, err := readTypes(b)
	if err != nil {
		t.Fatal(err)
	}
	ds := ts.datasec(".maps")
	ts.setWord(ds, 0)
	for k := range ts.members(ds) {
		ts.setExtra(ds, 3*k+1, 0)
	}
	ext, _ := m.section(m.find(".BTF.ext"))
	for off := 8; off < 32; off += 4 {
		le.PutUint32(ext[off:], 0)
	}
	prog := m.find("xdp")
	code, _ := m.section(prog)
	_, rels, err := m.relocations(prog)
	if err != nil || len(rels) != 2 {
		t.Fatalf("%d relocations, %v", len(rels), err)
	}
	for _, r := range rels {
		le.PutUint32(code[r.Off+4:], uint32(m.syms[delf.R_SYM64(r.Info)].Value))
	}

	spec, bad, err := Collection(raw, Options{})
	if err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	if f, s := spec.Maps["first"], spec.Maps["second"]; f == nil || s == nil || f.ValueSize != 8 || s.MaxEntries != 7 {
		t.Fatalf("first %v, second %v", f, s)
	}
	for _, in := range spec.Programs["both"].Instructions {
		if in.IsLoadFromMap() && in.Constant != 0 {
			t.Errorf("%v would be taken for a file descriptor", in)
		}
	}
}

// compiled is the object that clang makes of C.
func compiled(t *testing.T, text string) []byte {
	t.Helper()
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		if os.Getenv("SUPERBPF_REQUIRE_KERNEL") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	src, obj := filepath.Join(dir, "x.c"), filepath.Join(dir, "x.o")
	if err := os.WriteFile(src, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command(clang, "-target", "bpf", "-O2", "-g", "-c", src, "-o", obj).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	raw, err := os.ReadFile(obj)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
