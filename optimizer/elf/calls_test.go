package elf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// What is known of arguments: of static functions by all calls, of global ones
// by their type; nothing of those that something else may enter.
func TestArguments(t *testing.T) {
	for _, c := range []struct{ flag, fn, want string }{
		{"-DPLAIN", "length", "context 14..20 any any any"},
		{"-DHOSTILE", "length", "any 14..20 any any any"},
		{"-DTABLE", "length", "any any any any any"},
		{"-DPLAIN", "count", "any any any any any"},
		{"-DPLAIN", "global", "context scalar any any any"},
		{"-DPLAIN", "hidden", "any any any any any"},
		{"-UPLAIN", "first", "any any any any any"},
	} {
		o := read(t, compile(t, "calls.c", "-g", "-mcpu=v3", c.flag))
		f := o.Callee(c.fn)
		if f == nil {
			t.Fatalf("no function %s", c.fn)
		}
		if got := strings.Trim(fmt.Sprint(f.Args), "[]"); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.flag, c.fn, got, c.want)
		}
	}
	// Without types the kernel takes a global function for a static one, which
	// other objects may call.
	if f := read(t, compile(t, "calls.c", "-mcpu=v3")).Callee("global"); f.Given(1).String() != "any" {
		t.Errorf("without types: %v", f.Args)
	}
}

// A call reads what the function that it goes to reads, and no more.
func TestCallsReadArguments(t *testing.T) {
	o, calls := read(t, compile(t, "calls.c", "-g", "-mcpu=v3", "-DPLAIN")), 0
	for _, f := range o.Functions() {
		for k := range f.Insns {
			in := &f.Insns[k]
			if in.Ref == nil || in.Ref.Kind != prog.RefFunc || !in.IsCall() {
				continue
			}
			if calls++; in.Use() != prog.Reads(o.Callee(in.Ref.Name)) {
				t.Errorf("%s: the call of %s reads %v", f.Name, in.Ref.Name, in.Use())
			}
			if in.Use() == isa.ArgRegs {
				t.Errorf("%s: the call of %s reads all arguments", f.Name, in.Ref.Name)
			}
		}
	}
	if calls == 0 {
		t.Error("no calls")
	}
}

// A program that others call is also a subprogram: it is left alone.
func TestCalledProgramsAreLeftAlone(t *testing.T) {
	o, err := Read(compile(t, "calls.c", "-g", "-mcpu=v3", "-DCALLED"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range o.Functions() {
		if (f.Unsupported != "") != (f.Name == "first") {
			t.Errorf("%s: %q", f.Name, f.Unsupported)
		}
	}
	// Who calls it must suppose that it reads all that it is given.
	if got := prog.Reads(o.Callee("first")); got != isa.ArgRegs {
		t.Errorf("the program without code reads %v", got)
	}
}

func TestCallers(t *testing.T) {
	o := read(t, compile(t, "calls.c", "-g", "-mcpu=v3"))
	for name, want := range map[string]int{"length": 2, "global": 1, "count": 1, "second": 0} {
		if got := o.Callers(name); got != want {
			t.Errorf("%s: %d callers, want %d", name, got, want)
		}
	}
}
