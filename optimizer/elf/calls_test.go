package elf

import (
	"fmt"
	"strings"
	"testing"
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
}
