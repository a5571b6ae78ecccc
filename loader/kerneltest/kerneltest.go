// Package kerneltest helps tests that need the kernel: it skips them without
// privilege, or fails them where SUPERBPF_REQUIRE_KERNEL=1 says that the kernel
// must be there, and it loads small programs.
package kerneltest

import (
	"errors"
	"os"
	"testing"

	"github.com/superbpf/superbpf/loader"
)

// Program types (enum bpf_prog_type) that tests load.
const (
	SocketFilter = 1
	SchedCLS     = 3
	XDP          = 6
)

// Require skips the test unless BPF programs can be loaded here.
func Require(t testing.TB) {
	t.Helper()
	p, err := loader.LoadRaw(SocketFilter, Insns(Mov(0, 0), Exit), loader.RawOptions{})
	if err == nil {
		p.Close()
		// A kernel may let anybody load socket filters, but nothing more.
		if os.Geteuid() == 0 {
			return
		}
		err = errors.New("not root")
	}
	if os.Getenv("SUPERBPF_REQUIRE_KERNEL") == "1" {
		t.Fatalf("SUPERBPF_REQUIRE_KERNEL=1, but %v", err)
	}
	t.Skipf("needs a kernel that lets us load BPF programs: %v", err)
}

// An Insn is one encoded 8-byte slot.
type Insn [8]byte

// Raw encodes one slot.
func Raw(op, dst, src uint8, off int16, imm int32) Insn {
	return Insn{op, dst | src<<4, byte(off), byte(off >> 8), byte(imm), byte(imm >> 8), byte(imm >> 16), byte(imm >> 24)}
}

// Mov is `rD = imm`.
func Mov(dst uint8, imm int32) Insn { return Raw(0xb7, dst, 0, 0, imm) }

// MovReg is `rD = rS`.
func MovReg(dst, src uint8) Insn { return Raw(0xbf, dst, src, 0, 0) }

// Add is `rD += imm`.
func Add(dst uint8, imm int32) Insn { return Raw(0x07, dst, 0, 0, imm) }

// Mul is `rD *= imm`.
func Mul(dst uint8, imm int32) Insn { return Raw(0x27, dst, 0, 0, imm) }

// Call calls a helper.
func Call(helper int32) Insn { return Raw(0x85, 0, 0, 0, helper) }

// Exit ends the program.
var Exit = Raw(0x95, 0, 0, 0, 0)

// MapFD is the pair of slots that loads a map's address.
func MapFD(dst uint8, fd int) []Insn {
	return []Insn{Raw(0x18, dst, 1, 0, int32(fd)), {}}
}

// Insns joins slots into the bytes that LoadRaw takes.
func Insns(list ...Insn) []byte {
	var b []byte
	for _, i := range list {
		b = append(b, i[:]...)
	}
	return b
}

// Prog is a loaded test program.
type Prog struct{ *loader.RawProg }

// ID returns the kernel's number of the program.
func (p Prog) ID(t testing.TB) uint32 {
	t.Helper()
	id, err := loader.ProgID(p.FD())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Load loads a program that lives as long as the test.
func Load(t testing.TB, progType uint32, insns ...Insn) Prog {
	t.Helper()
	p, err := loader.LoadRaw(progType, Insns(insns...), loader.RawOptions{Name: "kerneltest"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return Prog{p}
}

// XDPReturn loads an XDP program that returns a constant.
func XDPReturn(t testing.TB, verdict int32) Prog {
	t.Helper()
	return Load(t, XDP, Mov(0, verdict), Exit)
}

// ProgExists reports whether the kernel has a program with this number.
func ProgExists(id uint32) bool { return loader.ProgExists(id) }
