package loader

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// newKernel skips a test that cannot load programs, or fails it where that is
// required.
func newKernel(t testing.TB) *Kernel {
	if os.Geteuid() != 0 {
		if os.Getenv("SUPERBPF_REQUIRE_KERNEL") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	k, err := NewKernel()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func compileSample(t testing.TB, flags ...string) []byte { return compileTest(t, "sample.c", flags...) }

func compileTest(t testing.TB, name string, flags ...string) []byte {
	out := filepath.Join(t.TempDir(), "out.o")
	args := append([]string{"-target", "bpf", "-g", "-O2", "-I/usr/include/x86_64-linux-gnu", "-c", filepath.Join("../optimizer/elf/testdata", name), "-o", out}, flags...)
	for _, clang := range []string{"clang-19", "clang"} {
		if path, err := exec.LookPath(clang); err == nil {
			if b, err := exec.Command(path, args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, b)
			}
			raw, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
	}
	t.Skip("clang is missing")
	return nil
}

// prepend puts an instruction before the first of each function that is named.
func prepend(t *testing.T, raw []byte, in isa.Insn, only string) []byte {
	o, err := elf.Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	repl := map[int]*prog.Func{}
	for i, f := range o.Functions() {
		if only != "" && f.Name != only {
			continue
		}
		g := f.Clone()
		if err := g.Splice(0, 0, []prog.Insn{prog.New(in)}); err != nil {
			t.Fatal(err)
		}
		repl[i] = g
	}
	out, err := o.Encode(repl)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A rewritten object loads where its input does: every instruction is moved.
func TestMovedObjectLoads(t *testing.T) {
	k := newKernel(t)
	for _, cpu := range []string{"v1", "v2", "v3", "v4"} {
		raw := compileSample(t, "-mcpu="+cpu)
		out := prepend(t, raw, isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: isa.R0, Imm: 7}, "")
		for _, p := range []string{"first", "second"} {
			a, err := k.Load(context.Background(), raw, p)
			if err != nil || !a.Accepted {
				t.Fatalf("%s %s: input: %+v %v", cpu, p, a, err)
			}
			b, err := k.Load(context.Background(), out, p)
			if err != nil || !b.Accepted {
				t.Fatalf("%s %s: output: %+v %v", cpu, p, b, err)
			}
			if b.XlatedBytes <= a.XlatedBytes || a.JitedBytes == 0 || a.Stats.Insns == 0 {
				t.Errorf("%s %s: sizes %+v and %+v", cpu, p, a, b)
			}
		}
	}
}

func TestRefusalNamesTheReason(t *testing.T) {
	k := newKernel(t)
	raw := compileSample(t, "-mcpu=v2")
	out := prepend(t, raw, isa.Insn{Op: isa.ALU(isa.FnMov, 64, false), Dst: isa.R0, Src: isa.R9}, "first")
	r, err := k.Load(context.Background(), out, "first")
	if err != nil {
		t.Fatal(err)
	}
	if r.Accepted || r.Reason.Line != "R9 !read_ok" || r.Reason.Kind != ReasonUninit || r.Function != "first" || r.Slot != 0 {
		t.Errorf("got %+v", r)
	}
}

// The maps of a program that is refused are there for the next one.
func TestRefusedProgramLeavesMaps(t *testing.T) {
	k := newKernel(t)
	raw := compileSample(t, "-mcpu=v2")
	out := prepend(t, raw, isa.Insn{Op: isa.ALU(isa.FnMov, 64, false), Dst: isa.R0, Src: isa.R9}, "first")
	if r, err := k.LoadWhole(context.Background(), out, "first"); err != nil || r.Accepted {
		t.Fatalf("%+v %v", r, err)
	}
	made := maps.Clone(k.maps)
	if r, err := k.LoadWhole(context.Background(), raw, "first"); err != nil || !r.Accepted {
		t.Fatalf("%+v %v", r, err)
	}
	if len(made) == 0 || len(made) != len(k.maps) {
		t.Errorf("%d maps after the refusal, %d in all", len(made), len(k.maps))
	}
	for name, c := range k.maps {
		if made[name].m != c.m {
			t.Errorf("%s was made twice", name)
		}
	}
}

// A map that runs programs belongs to the first one that names it: programs of
// other kinds get another.
func TestProgramsThatMayNotShareMaps(t *testing.T) {
	raw := compileTest(t, "owned.c", "-mcpu=v3")
	for _, load := range []func(*Kernel, context.Context, []byte, string) (*LoadResult, error){(*Kernel).Load, (*Kernel).LoadWhole} {
		k := newKernel(t)
		for _, name := range []string{"packet", "fragments", "buffer", "connecting", "sending", "packet"} {
			if r, err := load(k, context.Background(), raw, name); err != nil || !r.Accepted {
				t.Errorf("%s: %+v %v", name, r, err)
			}
		}
	}
}

// Maps whose sizes user space sets before it loads do not keep programs from being
// judged; a refusal says what the kernel lacks.
func TestWhatIsLeftToLoaders(t *testing.T) {
	k := newKernel(t)
	raw := compileTest(t, "left.c", "-mcpu=v3")
	if r, err := k.Load(context.Background(), raw, "traced"); err != nil || !r.Accepted {
		t.Errorf("%+v %v", r, err)
	}
	r, err := k.Load(context.Background(), raw, "lacking")
	if err != nil || r.Accepted || r.Reason.Kind != ReasonRelocation || !strings.Contains(r.Reason.Line, "this kernel lacks") {
		t.Errorf("%+v %v", r, err)
	}
}

func BenchmarkLoad(b *testing.B) {
	k := newKernel(b)
	raw := compileSample(b, "-mcpu=v2")
	for b.Loop() {
		if r, err := k.Load(context.Background(), raw, "first"); err != nil || !r.Accepted {
			b.Fatal(r, err)
		}
	}
}

// What libbpf loads and the library's reader does not take is judged as well.
func TestOddObjectsLoad(t *testing.T) {
	k := newKernel(t)
	for name, programs := range map[string][]string{
		"odd.c":    {"odd_data", "odd_config", "odd_hidden", "odd_ksym", "odd_ssthresh", "odd_undo", "odd_avoid"},
		"legacy.c": {"count"},
	} {
		raw := compileTest(t, name, "-D__TARGET_ARCH_x86")
		for _, p := range programs {
			r, err := k.Load(context.Background(), raw, p)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Accepted {
				t.Errorf("%s: %s\n%s", p, r.Reason.Line, r.Log)
			}
		}
	}
	raw := compileTest(t, "odd.c", "-D__TARGET_ARCH_x86")
	r, err := k.Load(context.Background(), raw, "odd_section")
	if err != nil || r.Accepted || !strings.Contains(r.Reason.Line, "--type") {
		t.Errorf("odd_section: %+v, %v", r, err)
	}
	k.Type = "xdp"
	if r, err := k.Load(context.Background(), raw, "odd_section"); err != nil || !r.Accepted {
		t.Errorf("odd_section as xdp: %+v, %v", r, err)
	}
}
