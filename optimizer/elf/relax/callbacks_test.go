package relax

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

const twoCallbacks = `
#define HIDDEN __attribute__((noinline, visibility("hidden")))
static long (*loop)(unsigned n, void *f, void *ctx, unsigned long flags) = (void *)181;
int a, b;
HIDDEN int one(int i, void *ctx) { a++; return 0; }
HIDDEN int two(int i, void *ctx) { b++; return 0; }
__attribute__((section("xdp"), used)) int both(void *ctx) { loop(2, two, &b, 0); loop(2, one, &a, 0); return 1; }
`

// The address of a hidden function is that function's, wherever it lies.
func TestHiddenCallbacks(t *testing.T) {
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		if os.Getenv("SUPERBPF_REQUIRE_KERNEL") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	src, obj := filepath.Join(dir, "x.c"), filepath.Join(dir, "x.o")
	if err := os.WriteFile(src, []byte(twoCallbacks), 0o666); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command(clang, "-target", "bpf", "-O2", "-g", "-c", src, "-o", obj).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	raw, err := os.ReadFile(obj)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Program(raw, "both", Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, in := range spec.Programs["both"].Instructions {
		if in.IsLoadOfFunctionPointer() {
			got = append(got, in.Reference())
		}
	}
	if want := []string{"two", "one"}; !slices.Equal(got, want) {
		t.Errorf("the addresses of %v, want %v", got, want)
	}
}
