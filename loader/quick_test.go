package loader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// A verdict on code and types alone is the verdict on the object, about
// accepted programs and about each program with an instruction that the kernel
// refuses, wherever that stands.
func TestQuickVerdictIsTheVerdict(t *testing.T) {
	k := newKernel(t)
	files, err := filepath.Glob("../benchmarks/suites/*/*/prog.bpf.c")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	files = append(files, "../optimizer/elf/testdata/sample.c", "../optimizer/elf/testdata/tables.c")
	quick := 0
	for n, f := range files {
		raw := compileTest(t, rel(t, f), "-mcpu=v"+fmt.Sprint(2+n%2), "-I../benchmarks/include")
		o, err := elf.Read(raw)
		if err != nil {
			t.Fatal(f, err)
		}
		for i, fn := range o.Functions() {
			for at := -1; at < len(fn.Insns); at += max(len(fn.Insns)/3, 1) {
				b := raw
				if at >= 0 {
					g := fn.Clone()
					if g.Splice(at, at, []prog.Insn{prog.New(isa.Insn{Op: isa.ALU(isa.FnAdd, 64, true), Dst: isa.R10, Imm: 8})}) != nil {
						continue
					}
					if b, err = o.Encode(map[int]*prog.Func{i: g}); err != nil {
						t.Fatal(f, err)
					}
				}
				for _, p := range o.Users(i) {
					x, err := k.LoadWhole(context.Background(), b, p)
					if err != nil {
						t.Fatal(f, p, err)
					}
					y, err := k.Load(context.Background(), b, p)
					if err != nil {
						t.Fatal(f, p, err)
					}
					if Prepare(b, p, "") != nil {
						quick++
					}
					x.Log, y.Log = "", "" // source lines, times
					if fmt.Sprint(x) != fmt.Sprint(y) {
						t.Errorf("%s, %s, bad instruction at %d:\n%+v\n%+v", f, p, at, x, y)
					}
				}
			}
		}
	}
	if quick < 40 {
		t.Errorf("only %d programs were asked about without their objects", quick)
	}
}

func rel(t *testing.T, file string) string {
	base, err1 := filepath.Abs("../optimizer/elf/testdata")
	file, err2 := filepath.Abs(file)
	r, err := filepath.Rel(base, file)
	if err := errors.Join(err1, err2, err); err != nil {
		t.Fatal(err)
	}
	return r
}

// Maps that differ only in what they hold are not taken for one another.
func TestMapsOfTwoObjects(t *testing.T) {
	k := newKernel(t)
	src := filepath.Join(t.TempDir(), "x.c")
	text := `
		const volatile unsigned limit = LIMIT;
		char data[16];
		__attribute__((section("socket"))) int f(void *ctx) { return data[limit & 31]; }
		char _license[] __attribute__((section("license"))) = "GPL";`
	if err := os.WriteFile(src, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{3, 20, 4, 21, 3} {
		raw := compileTest(t, rel(t, src), fmt.Sprint("-DLIMIT=", limit))
		r, err := k.Load(context.Background(), raw, "f")
		if err != nil || r.Accepted != (limit < 16) {
			t.Errorf("limit %d: %+v, %v", limit, r, err)
		}
		if Prepare(raw, "f", "") == nil {
			t.Error("not prepared")
		}
	}
}

// A load that is too slow ends, and the thread with it is free again.
func TestInterruptible(t *testing.T) {
	spin := func(stopped func() bool) {
		for !stopped() {
		}
	}
	if err := interruptible(context.Background(), time.Millisecond, spin); !errors.Is(err, errSlow) {
		t.Errorf("limit: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := interruptible(ctx, time.Hour, spin); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := interruptible(context.Background(), time.Hour, func(func() bool) {}); err != nil {
		t.Errorf("undisturbed: %v", err)
	}
	// A program on which the verifier is busy up to its own limit.
	k := newKernel(t)
	src := filepath.Join(t.TempDir(), "x.c")
	text := `
		static unsigned (*rnd)(void) = (void *)7;
		__attribute__((section("socket"))) int f(void *ctx) {
			unsigned s = 0, i;
			for (i = 0; i < 400000; i++) { if (rnd() > i) s += 3; else s ^= i; }
			return s;
		}
		char _license[] __attribute__((section("license"))) = "GPL";`
	if err := os.WriteFile(src, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	raw := compileTest(t, rel(t, src), "-mcpu=v2")
	if r, err := k.Load(context.Background(), raw, "f"); err != nil || r.Reason.Kind != ReasonComplexity {
		t.Fatalf("%+v, %v", r, err)
	}
	k.Limit = time.Nanosecond
	if r, err := k.Load(context.Background(), raw, "f"); err != nil || !strings.Contains(r.Reason.Line, errSlow.Error()) {
		t.Errorf("%+v, %v", r, err)
	}
}
