package elf

import (
	delf "debug/elf"
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// body is a function as it will be written.
type body struct {
	fn    *function
	insns []prog.Insn
	at    []int // byte offset of each instruction from the function's new start, and the end
	start int   // new byte offset in the section
	same  bool  // the function was not replaced
	// inlined are the bodies of other functions among its instructions.
	inlined []prog.Inlined
	gap     int // bytes of code in front that no symbol covers, as they are kept
}

// size is that of the written function, in bytes. One that could not be read has no
// instructions, and is written as it was.
func (b *body) size() int {
	if b.same {
		return b.fn.size
	}
	return b.at[len(b.at)-1]
}

// layout is what a section becomes.
type layout struct {
	sec    int
	bodies []*body
	data   []byte
	rels   []delf.Rel64
	tail   int // bytes behind the last function that are kept
	// moved maps byte offsets of the input to the output.
	moved func(old int) int
}

// layOut places the functions of a section; nil if it has none.
func (o *Object) layOut(sec int, replaced map[int]*prog.Func) (*layout, error) {
	l := &layout{sec: sec}
	end, shift := 0, 0
	for i, fn := range o.funcs {
		if fn.sec != sec {
			continue
		}
		if fn.off < end {
			return nil, fmt.Errorf("functions overlap in section %s", fn.Section)
		}
		b := &body{fn: fn, insns: fn.Insns, same: true, gap: o.keptGap(sec, end, fn.off)}
		shift -= fn.off - end - b.gap
		b.start = fn.off + shift
		if r := replaced[i]; r != nil {
			if fn.Unsupported != "" {
				return nil, fmt.Errorf("%s cannot be replaced: %s", fn.Name, fn.Unsupported)
			}
			b.insns, b.same, b.inlined = slices.Clone(r.Insns), false, r.Inlined
			if err := o.fit(b); err != nil {
				return nil, err
			}
		}
		size := fn.size
		if !b.same {
			at := 0
			for k := range b.insns {
				b.at = append(b.at, at)
				at += 8 * max(b.insns[k].Slots(), nopSlots(&b.insns[k]))
			}
			b.at = append(b.at, at)
			size = at
		} else {
			b.at = fn.insnAt
		}
		shift += size - fn.size
		end = fn.off + fn.size
		l.bodies = append(l.bodies, b)
	}
	if len(l.bodies) == 0 {
		return nil, nil
	}
	l.tail = o.keptGap(sec, end, int(o.file.Sections[sec].Size))
	l.moved = func(old int) int {
		delta := 0
		for _, b := range l.bodies {
			switch {
			case old < b.fn.off:
				return min(old+delta, b.start)
			case old < b.fn.off+b.fn.size:
				if b.same {
					return b.start + old - b.fn.off
				}
				return b.start + b.place(old-b.fn.off)
			}
			delta = b.start + b.size() - (b.fn.off + b.fn.size)
		}
		return old + delta
	}
	return l, nil
}

// keptGap is how many bytes stay of those between two functions. Static linking
// leaves there the bodies of weak functions that lost to others. Nothing runs them,
// and one of the loaders counts instructions as if they were not there: with them its
// function and line info is right only by luck. What a symbol points at stays, and all
// where a function is not understood that may refer to it.
func (o *Object) keptGap(sec, from, to int) int {
	for _, s := range o.syms {
		if int(s.Section) == sec && delf.ST_TYPE(s.Info) != delf.STT_SECTION && int(s.Value) >= from && int(s.Value) < to {
			return to - from
		}
	}
	if slices.ContainsFunc(o.funcs, func(f *function) bool { return f.Unsupported != "" }) {
		return to - from
	}
	return 0
}

// nopSlots: a no-op that is written takes a slot.
func nopSlots(in *prog.Insn) int {
	if in.Op == isa.Nop {
		return 1
	}
	return 0
}

// fit pads a body to its old size where the layout must stay.
func (o *Object) fit(b *body) error {
	f := &prog.Func{Name: b.fn.Name, Insns: b.insns}
	f.Compact()
	b.insns = f.Insns
	if !o.InPlace {
		return nil
	}
	pad := b.fn.size/8 - f.Slots()
	if pad < 0 {
		return fmt.Errorf("%s grew by %d slots: it cannot be written in place", b.fn.Name, -pad)
	}
	// In front, where control passes through it: the kernel refuses code that
	// cannot be reached, and removes no-ops.
	out := make([]prog.Insn, 0, pad+len(b.insns))
	for range pad {
		n := prog.New(isa.Insn{Op: isa.Nop})
		n.Origin = 0
		out = append(out, n)
	}
	for _, in := range b.insns {
		if in.Target >= 0 {
			in.Target += pad
		}
		out = append(out, in)
	}
	b.insns = out
	return nil
}

// place finds where the instruction at an old offset went, or the next one
// that stayed.
func (b *body) place(old int) int {
	idx, _ := slices.BinarySearch(b.fn.insnAt, old)
	best, bestOrigin := b.at[len(b.at)-1], len(b.fn.Insns)
	for k := range b.insns {
		if o := b.insns[k].Origin; o >= idx && o < bestOrigin && b.insns[k].Op != isa.Nop {
			best, bestOrigin = b.at[k], o
		}
	}
	return best
}
