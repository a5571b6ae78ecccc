package measure

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
)

// newPageFaultRig runs programs on performance events by page faults of this
// thread, which the kernel counts one by one on every host.
func newPageFaultRig(progKind) (*tracepointRig, error) {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	raise := func(Input) {
		// Only the first touch of a page that was given back faults.
		if unix.Madvise(page, unix.MADV_DONTNEED) == nil {
			loader.Events(true)
			page[0] = 1
			loader.Events(false)
		}
	}
	return &tracepointRig{what: "page faults", attach: loader.AttachPageFaults, raise: raise, done: func() error { return unix.Munmap(page) },
		at: map[*Instance]*loader.Hook{}}, nil
}

// probed is a function to put probes on. Go passes its arguments in RAX, RBX, RCX,
// RDI, RSI and R8, four of which a probe takes for a C function's.
//
//go:noinline
func probed(a, b, c, d, e, f uintptr) uintptr { return a ^ b ^ c ^ d ^ e ^ f }

// newCallRig runs programs on probes by a probe on a function of this process, with
// arguments from the input: the kernel's own functions cannot be called at will. A
// program that follows a pointer among them finds none.
func newCallRig(kind progKind) (*tracepointRig, error) {
	offset, err := fileOffset(reflect.ValueOf(probed).Pointer())
	if err != nil {
		return nil, errNoEvent(kind, "%v", err)
	}
	attach := func(prog int) (*loader.Hook, error) { return loader.AttachUserCode("/proc/self/exe", offset, prog) }
	raise := func(in Input) {
		var w [6]uintptr
		for i := range w {
			w[i] = uintptr(word(in, 4*i))
		}
		probed(w[0], w[1], w[2], w[3], w[4], w[5])
	}
	return &tracepointRig{what: "calls of a probed function", attach: attach, raise: raise, at: map[*Instance]*loader.Hook{}}, nil
}

// fileOffset finds where in the executable the code at an address is.
func fileOffset(address uintptr) (uint64, error) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var from, to, offset uint64
		var mode string
		if _, err := fmt.Sscanf(s.Text(), "%x-%x %s %x", &from, &to, &mode, &offset); err != nil {
			continue
		}
		if a := uint64(address); a >= from && a < to && strings.Contains(mode, "x") {
			return a - from + offset, nil
		}
	}
	return 0, fmt.Errorf("no code at %#x", address)
}
