package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Two functions with the same body and the same callers: anyone may call the
// global one, and the kernel checks it for any arguments of its type.
const sameBodies = header + `
struct rec { __u32 a, b; };
#define BODY(name) name(struct xdp_md *ctx, int n, struct rec *r) \
{ \
	__u8 *p = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end; \
	if (n > 1000) \
		return 2; \
	if (!r || p + 34 > end) \
		return 1; \
	r->a = p[26] | p[27] << 8 | p[28] << 16 | (__u32)p[29] << 24; \
	r->b = n; \
	return n > 10; \
}
__attribute__((noinline)) int BODY(global)
static __attribute__((noinline)) int BODY(local)

__u64 seen[4];

SEC("xdp") int main_prog(struct xdp_md *ctx)
{
	struct rec x = {}, y = {};
	int r = global(ctx, 5, &x) + 4 * global(ctx, 50, &y);

	seen[0] += x.a + x.b;
	seen[1] += y.a + y.b;
	r += 16 * local(ctx, 5, &x) + 64 * local(ctx, 50, &y);
	seen[2] += x.a + x.b;
	seen[3] += y.a + y.b;
	return r;
}
`

// What callers hand over makes a static function smaller and leaves a global one
// able to take anything; both do what they did.
func TestArgumentsOfFunctions(t *testing.T) {
	needRoot(t)
	for _, cpu := range []string{"v2", "v4"} {
		in := object(t, sameBodies, "-mcpu="+cpu)
		out := filepath.Join(t.TempDir(), "in.o")
		if text, msg, code := run(t, "optimize", in, "-o", out, "--no-measure", "--solver", "auto"); code != 0 {
			t.Fatalf("exit code %d: %s %s", code, text, msg)
		}
		if text, msg, code := run(t, "verify", in, out); code != 0 {
			t.Errorf("exit code %d: %s %s", code, text, msg)
		}
		text, msg, code := run(t, "bench", "differ", in, "--pairs", filepath.Dir(out), "--packets", "1000")
		if code != 0 || !strings.Contains(text, "1 programs with changed code") {
			t.Errorf("exit code %d: %s %s", code, text, msg)
		}
		raw, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		o, err := elf.Read(raw)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]bool{"global": true, "local": false} {
			f := o.Callee(name)
			if f == nil {
				t.Fatalf("no function %s", name)
			}
			if got := compares(f, 1000); got != want {
				t.Errorf("-mcpu=%s: %s looks at arguments that nobody gives: %v, want %v\n%s", cpu, name, got, want, prog.FormatFunc(f))
			}
		}
	}
}

// compares tells whether f compares something with about n.
func compares(f *prog.Func, n int64) bool {
	for k := range f.Insns {
		in := &f.Insns[k]
		if in.IsJump() && (in.Imm == n || in.Imm == n+1) {
			return true
		}
	}
	return false
}
