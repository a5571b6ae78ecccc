package elf

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// compile builds testdata/name with clang.
func compile(t testing.TB, name string, flags ...string) []byte {
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		if clang, err = exec.LookPath("clang"); err != nil {
			if os.Getenv("SUPERBPF_REQUIRE_KERNEL") != "" {
				t.Fatal("clang is missing")
			}
			t.Skip("clang is missing")
		}
	}
	out := filepath.Join(t.TempDir(), "out.o")
	args := append([]string{"-target", "bpf", "-O2", "-I/usr/include/x86_64-linux-gnu", "-c", filepath.Join("testdata", name), "-o", out}, flags...)
	if b, err := exec.Command(clang, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func read(t testing.TB, raw []byte) *Object {
	o, err := Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range o.Functions() {
		if f.Unsupported != "" {
			t.Fatalf("%s: %s", f.Name, f.Unsupported)
		}
	}
	return o
}

func variants(t *testing.T, f func(t *testing.T, raw []byte)) {
	for _, cpu := range []string{"v1", "v2", "v3", "v4"} {
		t.Run(cpu, func(t *testing.T) { f(t, compile(t, "sample.c", "-g", "-mcpu="+cpu)) })
	}
}

func TestUnchangedIsIdentical(t *testing.T) {
	variants(t, func(t *testing.T, raw []byte) {
		o := read(t, raw)
		out, err := o.Encode(nil)
		if err != nil || !bytes.Equal(out, raw) {
			t.Errorf("output differs from the input (%v)", err)
		}
		if len(o.Functions()) != 5 {
			t.Errorf("%d functions", len(o.Functions()))
		}
	})
}

// A subprogram may be handed the context of the programs that contain it.
func TestSubprogramsHaveTheirProgramsType(t *testing.T) {
	o := read(t, compile(t, "sample.c", "-g", "-mcpu=v3"))
	for i, f := range o.Functions() {
		if f.Type != prog.TypeXDP || len(o.Users(i)) == 0 {
			t.Errorf("%s has type %d, programs %v", f.Name, f.Type, o.Users(i))
		}
	}
	o.funcs[slices.Index(o.list, o.Callee("first"))].Type = prog.TypeSchedCLS
	o.typeSubprograms()
	if a, b := o.Callee("classify").Type, o.Callee("step").Type; a != prog.TypeUnspec || b != prog.TypeXDP {
		t.Errorf("in programs of two types: %d, of one: %d", a, b)
	}
}

// Records that look alike name different fields when the types differ.
func TestFieldsOfOtherTypesDiffer(t *testing.T) {
	field := func(flags ...string) *prog.Ref {
		for _, in := range read(t, compile(t, "core.c", append(flags, "-g", "-O2")...)).Functions()[0].Insns {
			if in.Ref != nil && in.Ref.Kind == prog.RefCORE {
				return in.Ref
			}
		}
		t.Fatal("no relocated field")
		return nil
	}
	a, b, other := field(), field(), field("-DOTHER")
	if !prog.SameRef(a, b) {
		t.Error("the same field is not recognized")
	}
	if prog.SameRef(a, other) {
		t.Error("two fields are taken for one")
	}
}

// Of a field that is a signed integer the loader leaves the width alone.
func TestSignedFields(t *testing.T) {
	for i, want := range map[string]bool{"": true, "-DTYPE=unsigned int": false, "-DTYPE=short": true, "-DTYPE=enum color": false, "-DTYPE=long": true} {
		var got []bool
		for _, in := range read(t, compile(t, "core.c", "-g", "-O2", i, "-DREAD")).Functions()[0].Insns {
			if in.Ref != nil && in.Ref.Kind == prog.RefCORE {
				got = append(got, in.Ref.Signed)
			}
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v", i, got)
		}
	}
}

// edit inserts a useless move at the front of each function, so that all that
// follows moves, or deletes it again.
func edit(f *prog.Func, insert bool) *prog.Func {
	g := f.Clone()
	if insert {
		pad := prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: isa.R0, Imm: 77})
		if err := g.Splice(0, 0, []prog.Insn{pad}); err != nil {
			panic(err)
		}
		return g
	}
	g.Insns[0] = prog.New(isa.Insn{Op: isa.Nop})
	g.Compact()
	return g
}

// Moving every instruction and back gives the same instructions, and both
// forms read as the same programs.
func TestMovedCodeReadsBack(t *testing.T) {
	variants(t, func(t *testing.T, raw []byte) {
		o := read(t, raw)
		repl := map[int]*prog.Func{}
		for i, f := range o.Functions() {
			repl[i] = edit(f, true)
		}
		out, err := o.Encode(repl)
		if err != nil {
			t.Fatal(err)
		}
		o2 := read(t, out)
		back := map[int]*prog.Func{}
		for i, f := range o2.Functions() {
			if !prog.SameCodeRefs(f, repl[i]) {
				t.Fatalf("%s reads back differently", f.Name)
			}
			back[i] = edit(f, false)
		}
		out2, err := o2.Encode(back)
		if err != nil {
			t.Fatal(err)
		}
		a, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		b, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(out2))
		if err != nil {
			t.Fatal(err)
		}
		for name, p := range a.Programs {
			if x, y := fmt.Sprintf("%v", p.Instructions), fmt.Sprintf("%v", b.Programs[name].Instructions); x != y {
				t.Errorf("%s differs after moving there and back:\n%s\n%s", name, x, y)
			}
		}
	})
}

func TestInPlaceKeepsTheLayout(t *testing.T) {
	raw := compile(t, "sample.c", "-g", "-mcpu=v2")
	o := read(t, raw)
	o.InPlace = true
	f := o.Functions()[0].Clone()
	f.Insns = []prog.Insn{
		prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: isa.R0, Imm: 2}),
		prog.New(isa.Insn{Op: isa.Exit}),
	}
	f.Insns[0].Origin, f.Insns[1].Origin = 0, len(o.Functions()[0].Insns)-1
	out, err := o.Encode(map[int]*prog.Func{0: f})
	if err != nil {
		t.Fatal(err)
	}
	o2 := read(t, out)
	for i, fn := range o2.funcs {
		if was := o.funcs[i]; fn.off != was.off || fn.size != was.size {
			t.Errorf("%s moved from %d+%d to %d+%d", fn.Name, was.off, was.size, fn.off, fn.size)
		}
	}
	if g := o2.Functions()[0].Slots(); g != 2 {
		t.Errorf("%d slots, want 2", g)
	}
}

func TestBadInput(t *testing.T) {
	good := compile(t, "sample.c", "-g")
	for name, b := range map[string][]byte{
		"empty": nil, "text": []byte("hello, this is not an object"), "header only": good[:64], "half": good[:len(good)/2],
	} {
		if _, err := Read(b); err == nil {
			t.Errorf("%s was read", name)
		} else {
			t.Log(name, ":", err)
		}
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		if _, err := Read(self); err == nil {
			t.Error("a host program was read")
		}
	}
	// Damage anywhere gives an error or an object, never a crash.
	for i := 0; i < len(good); i += 29 {
		b := bytes.Clone(good)
		b[i] ^= 0xff
		if o, err := Read(b); err == nil {
			o.Encode(nil)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("\x7fELF"))
	f.Add(compile(f, "sample.c", "-g", "-mcpu=v3"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := Read(b)
		if err != nil {
			return
		}
		out, err := o.Encode(nil)
		if err != nil || !bytes.Equal(out, b) {
			t.Errorf("unchanged object differs (%v)", err)
		}
	})
}
