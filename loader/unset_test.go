package loader

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const constants = `
static long (*print)(const char *, unsigned, long) = (void *)6;
const volatile int on;
const volatile int elsewhere __attribute__((section(".rodata.more")));
__attribute__((section("socket"))) int off(void *ctx) { return on ? *(int *)(*(long *)ctx + 8) : 0; }
__attribute__((section("socket"))) int more(void *ctx) { return elsewhere ? *(int *)(*(long *)ctx + 8) : 0; }
__attribute__((section("socket"))) int either(void *ctx) { return on ? 1 : 2; }
__attribute__((section("socket"))) int text(void *ctx) { print("x", 2, 0); return 0; }
char _license[] __attribute__((section("license"))) = "GPL";
`

// With constants that a loader may set unknown the verifier sees what they switch
// off; maps of both kinds serve programs in turn.
func TestLoadUnset(t *testing.T) {
	k := newKernel(t)
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		t.Skip(err)
	}
	src, out := filepath.Join(t.TempDir(), "x.c"), filepath.Join(t.TempDir(), "x.o")
	if err := os.WriteFile(src, []byte(constants), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command(clang, "-target", "bpf", "-g", "-O2", "-c", src, "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for program, want := range map[string]string{"off": "refused", "more": "refused", "either": "accepted", "text": "nothing to ask"} {
			if r, err := k.Load(t.Context(), raw, program); err != nil || !r.Accepted {
				t.Fatalf("%s: %+v, %v", program, r, err)
			}
			r, err := k.LoadUnset(t.Context(), raw, program)
			got := "nothing to ask"
			switch {
			case err != nil:
				t.Fatal(program, err)
			case r != nil && r.Accepted:
				got = "accepted"
			case r != nil:
				got = "refused"
			}
			if got != want {
				t.Errorf("%s, constants unknown: %s, want %s: %+v", program, got, want, r)
			}
		}
	}
}
