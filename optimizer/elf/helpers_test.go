package elf

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// Every helper that the library knows has a row, under the kernel's name for it.
func TestHelperRowsAreComplete(t *testing.T) {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	id := int32(1)
	for ; ; id++ {
		name, ok := strings.CutPrefix(asm.BuiltinFunc(id).String(), "Fn")
		if !ok {
			break
		}
		if h := isa.HelperOf(id); plain(h.Name) != plain(name) {
			t.Errorf("helper %d is %s, its row says %q", id, name, h.Name)
		}
	}
	if id < 212 {
		t.Errorf("the library has only %d helpers", id-1)
	}
}

// What a row says fits together.
func TestHelperRowsAreConsistent(t *testing.T) {
	known := 0
	for id := int32(1); id < 212; id++ {
		h := isa.HelperOf(id)
		if h.Known {
			known++
		}
		ended := false
		for i, k := range h.Args {
			if k != isa.ArgNone && ended {
				t.Errorf("%s: argument %d comes after the last one", h.Name, i+1)
			}
			ended = ended || k == isa.ArgNone
			buffer := k == isa.ArgMemRead || k == isa.ArgMemWrite || k == isa.ArgMemRW
			if next := i+1 < len(h.Args) && h.Args[i+1] == isa.ArgSize; h.Known && buffer != next {
				t.Errorf("%s: argument %d: a buffer and its size belong together", h.Name, i+1)
			}
			if (k == isa.ArgMapKey || k == isa.ArgMapValue) && h.Args[0] != isa.ArgMap && h.Args[1] != isa.ArgMap {
				t.Errorf("%s: argument %d: of which map?", h.Name, i+1)
			}
			if k == isa.ArgMemWriteFixed && h.FixedSize == 0 {
				t.Errorf("%s: argument %d: how many bytes?", h.Name, i+1)
			}
		}
		if h.Purity == isa.PureConst && (h.WritesMaps || h.WritesPacket || h.WritesCtx || h.ChangesPacket) {
			t.Errorf("%s: its result does not depend on when, and it changes memory", h.Name)
		}
		if h.ChangesPacket && !(h.WritesPacket && h.WritesCtx) {
			t.Errorf("%s: the packet moves, but its bounds stay", h.Name)
		}
		if h.MapValue && !h.RetPtr {
			t.Errorf("%s: a map's value is a pointer", h.Name)
		}
	}
	if known < 100 {
		t.Errorf("only %d helpers have a model", known)
	}
}
