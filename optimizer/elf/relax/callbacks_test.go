package relax

import (
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
	raw := compiled(t, twoCallbacks)
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
