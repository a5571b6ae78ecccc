//go:build z3cgo

package smt

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Z3 leaves the handling of an interrupt alone. Otherwise it puts a handler of its
// own in the place of Go's while it works, and Go's back without its stack: the
// next interrupt ends the process.
func TestZ3LeavesInterruptsAlone(t *testing.T) {
	handler := func() (h [4]uint64) { // struct kernel_sigaction
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGINT), 0, uintptr(unsafe.Pointer(&h)), 8, 0, 0); errno != 0 {
			t.Fatal(errno)
		}
		return h
	}
	c := NewCtx(Options{})
	s, err := Open(c, "go-z3")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := handler()
	x := c.Var("x", 64)
	if r, _, err := s.Check(t.Context(), Limits{}, c.Eq(c.Mul(x, x), c.Const(5, 64))); err != nil || r != Unsat {
		t.Fatal(r, err)
	}
	if after := handler(); after != before {
		t.Errorf("SIGINT was handled by %x, now by %x", before, after)
	}
}
