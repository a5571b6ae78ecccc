package elf

import (
	"bytes"
	delf "debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

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
}

// layout is what a section becomes.
type layout struct {
	sec    int
	bodies []*body
	data   []byte
	rels   []delf.Rel64
	// moved maps byte offsets of the input to the output.
	moved func(old int) int
}

// Encode writes the object with the functions of those numbers replaced.
func (o *Object) Encode(replaced map[int]*prog.Func) ([]byte, error) {
	if len(replaced) == 0 {
		return bytes.Clone(o.raw), nil
	}
	starts := map[*function]int{}
	var layouts []*layout
	for sec := range o.file.Sections {
		l, err := o.layOut(sec, replaced)
		if err != nil {
			return nil, err
		}
		if l == nil {
			continue
		}
		for _, b := range l.bodies {
			starts[b.fn] = b.start
		}
		layouts = append(layouts, l)
	}
	for _, l := range layouts {
		if err := o.emit(l, starts); err != nil {
			return nil, err
		}
	}
	return o.assemble(layouts)
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
		b := &body{fn: fn, insns: fn.Insns, start: fn.off + shift, same: true}
		if r := replaced[i]; r != nil {
			if fn.Unsupported != "" {
				return nil, fmt.Errorf("%s cannot be replaced: %s", fn.Name, fn.Unsupported)
			}
			b.insns, b.same = slices.Clone(r.Insns), false
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
	l.moved = func(old int) int {
		delta := 0
		for _, b := range l.bodies {
			switch {
			case old < b.fn.off:
				return old + delta
			case old < b.fn.off+b.fn.size:
				if b.same {
					return b.start + old - b.fn.off
				}
				return b.start + b.place(old-b.fn.off)
			}
			delta = b.start + b.at[len(b.at)-1] - (b.fn.off + b.fn.size)
			if b.same {
				delta = b.start - b.fn.off
			}
		}
		return old + delta
	}
	return l, nil
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

// emit encodes a section's functions and their relocations.
func (o *Object) emit(l *layout, starts map[*function]int) error {
	old, err := o.file.Sections[l.sec].Data()
	if err != nil {
		return err
	}
	rels, err := o.relocations(l.sec)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	end := 0
	for _, b := range l.bodies {
		l.data = append(l.data, old[end:b.fn.off]...)
		end = b.fn.off + b.fn.size
		if len(l.data) != b.start {
			return fmt.Errorf("%s: laid out at %#x, written at %#x", b.fn.Name, b.start, len(l.data))
		}
		if b.same && b.fn.Unsupported != "" {
			l.data = append(l.data, old[b.fn.off:end]...)
			for off, r := range rels {
				if off >= b.fn.off && off < end {
					r.Off = uint64(b.start + off - b.fn.off)
					l.rels = append(l.rels, r)
				}
			}
			continue
		}
		for k := range b.insns {
			in := &b.insns[k]
			dist := 0
			if in.Target >= 0 {
				dist = (b.at[in.Target] - b.at[k] - 8) / 8
			}
			raw, err := isa.Encode(in.Insn, dist)
			if err != nil {
				return fmt.Errorf("%s: instruction %d: %w", b.fn.Name, k, err)
			}
			if in.Ref != nil {
				if err := o.refer(l, in, &raw, b.start+b.at[k], starts); err != nil {
					return fmt.Errorf("%s: instruction %d: %w", b.fn.Name, k, err)
				}
			}
			l.data = raw.Append(l.data, le)
		}
	}
	l.data = append(l.data, old[end:]...)
	slices.SortFunc(l.rels, func(a, b delf.Rel64) int { return int(a.Off) - int(b.Off) })
	return nil
}

// refer writes an instruction's symbolic operand at byte offset at.
func (o *Object) refer(l *layout, in *prog.Insn, raw *isa.Raw, at int, starts map[*function]int) error {
	if in.Ref.Kind == prog.RefCORE {
		return nil // its record is moved with .BTF.ext
	}
	r, ok := o.rels[in.Ref]
	if !ok {
		return fmt.Errorf("a reference to %s that the input does not have", in.Ref.Name)
	}
	call := in.Row().Kind == isa.KindCallFunc
	switch {
	case r.target != nil && r.typ == 0:
		raw.Imm = int32((starts[r.target] - at - 8) / 8)
	case r.target != nil && r.delta == 1 && call:
		raw.Imm = int32(starts[r.target]/8 - 1)
	case r.target != nil && r.delta == 1:
		raw.Imm = int32(starts[r.target])
	case call:
		raw.Imm = -1
	}
	if r.typ != 0 {
		l.rels = append(l.rels, delf.Rel64{Off: uint64(at), Info: delf.R_INFO(r.sym, r.typ)})
	}
	return nil
}

// assemble puts the file together from the sections of the input, with the
// layouts' data in place.
func (o *Object) assemble(layouts []*layout) ([]byte, error) {
	le := binary.LittleEndian
	bySec := map[int]*layout{}
	for _, l := range layouts {
		bySec[l.sec] = l
	}
	ext, err := o.encodeExt(bySec)
	if err != nil {
		return nil, err
	}
	var hdr delf.Header64
	if err := binary.Read(bytes.NewReader(o.raw), le, &hdr); err != nil {
		return nil, err
	}
	n := len(o.file.Sections)
	shdrs := make([]delf.Section64, n)
	if hdr.Shoff+uint64(n)*64 > uint64(len(o.raw)) {
		return nil, fmt.Errorf("section headers lie outside the file")
	}
	if err := binary.Read(bytes.NewReader(o.raw[hdr.Shoff:]), le, shdrs); err != nil {
		return nil, err
	}
	out := make([]byte, binary.Size(hdr))
	moved := false
	for _, l := range layouts {
		moved = moved || len(l.data) != int(o.file.Sections[l.sec].Size)
	}
	for i, s := range o.file.Sections {
		h := &shdrs[i]
		if h.Type == uint32(delf.SHT_NULL) || h.Type == uint32(delf.SHT_NOBITS) {
			continue
		}
		var data []byte
		if h.Off+h.Size <= uint64(len(o.raw)) {
			data = o.raw[h.Off : h.Off+h.Size]
		}
		switch {
		case bySec[i] != nil:
			data = bySec[i].data
		case h.Type == uint32(delf.SHT_REL) && bySec[int(h.Info)] != nil:
			var b bytes.Buffer
			binary.Write(&b, le, bySec[int(h.Info)].rels)
			data = b.Bytes()
		case h.Type == uint32(delf.SHT_SYMTAB):
			if data, err = moveSymbols(data, bySec); err != nil {
				return nil, err
			}
		case s.Name == ".BTF.ext" && ext != nil:
			data = ext
		case moved && (strings.HasPrefix(s.Name, ".debug_") || strings.HasPrefix(s.Name, ".rel.debug_")):
			data = nil // describes the old code
		}
		if a := h.Addralign; a > 1 {
			for uint64(len(out))%a != 0 {
				out = append(out, 0)
			}
		}
		h.Off, h.Size = uint64(len(out)), uint64(len(data))
		out = append(out, data...)
	}
	for len(out)%8 != 0 {
		out = append(out, 0)
	}
	hdr.Shoff = uint64(len(out))
	var b bytes.Buffer
	binary.Write(&b, le, hdr)
	copy(out, b.Bytes())
	b.Reset()
	binary.Write(&b, le, shdrs)
	return append(out, b.Bytes()...), nil
}

// moveSymbols gives symbols in moved sections their new places and sizes.
func moveSymbols(data []byte, bySec map[int]*layout) ([]byte, error) {
	syms := make([]delf.Sym64, len(data)/24)
	if err := binary.Read(bytes.NewReader(data), binary.LittleEndian, syms); err != nil {
		return nil, err
	}
	for k := range syms {
		s := &syms[k]
		l := bySec[int(s.Shndx)]
		if l == nil || delf.ST_TYPE(s.Info) == delf.STT_SECTION {
			continue
		}
		start := l.moved(int(s.Value))
		if delf.ST_TYPE(s.Info) == delf.STT_FUNC {
			for _, b := range l.bodies {
				if b.fn.off == int(s.Value) {
					start = b.start
					s.Size = uint64(b.at[len(b.at)-1])
					if b.same {
						s.Size = uint64(b.fn.size)
					}
				}
			}
		}
		s.Value = uint64(start)
	}
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, syms)
	return b.Bytes(), nil
}

// encodeExt moves function info, line info and CO-RE records with their
// instructions.
func (o *Object) encodeExt(bySec map[int]*layout) ([]byte, error) {
	if o.ext == nil {
		return nil, nil
	}
	byName := map[string]*layout{}
	for sec, l := range bySec {
		byName[o.file.Sections[sec].Name] = l
	}
	parts := o.ext.parts
	for p := range parts {
		parts[p].sections = slices.Clone(parts[p].sections)
		id := 0
		for k := range parts[p].sections {
			s := &parts[p].sections[k]
			n := len(s.recs)
			if l := byName[s.name]; l != nil {
				switch p {
				case extFunc:
					s.recs = moveFuncs(l, s.recs)
				case extLine:
					s.recs = moveLines(l, s.recs)
				case extCORE:
					s.recs = moveCORE(l, s.recs, id)
				}
			}
			id += n
		}
	}
	return o.ext.encode(parts), nil
}

// at returns a copy of a record for another byte offset.
func at(rec []byte, off int) []byte {
	r := bytes.Clone(rec)
	binary.LittleEndian.PutUint32(r, uint32(off))
	return r
}

func recOff(rec []byte) int { return int(binary.LittleEndian.Uint32(rec)) }

func moveFuncs(l *layout, recs [][]byte) [][]byte {
	var out [][]byte
	for _, r := range recs {
		for _, b := range l.bodies {
			if b.fn.off == recOff(r) {
				out = append(out, at(r, b.start))
			}
		}
	}
	return out
}

// moveLines gives each new instruction the line of its origin. The kernel
// wants rising offsets and a line for each function's first instruction.
func moveLines(l *layout, recs [][]byte) [][]byte {
	recs = slices.Clone(recs)
	slices.SortStableFunc(recs, func(a, b []byte) int { return recOff(a) - recOff(b) })
	var out [][]byte
	for _, b := range l.bodies {
		lo, _ := slices.BinarySearchFunc(recs, b.fn.off, func(r []byte, v int) int { return recOff(r) - v })
		hi, _ := slices.BinarySearchFunc(recs, b.fn.off+b.fn.size, func(r []byte, v int) int { return recOff(r) - v })
		own := recs[lo:hi]
		if len(own) == 0 {
			continue
		}
		if b.same {
			for _, r := range own {
				out = append(out, at(r, b.start+recOff(r)-b.fn.off))
			}
			continue
		}
		last := -1
		for k := range b.insns {
			line := max(last, 0)
			if o := b.insns[k].Origin; o >= 0 && o < len(b.fn.insnAt) {
				old := b.fn.off + b.fn.insnAt[o]
				n, found := slices.BinarySearchFunc(own, old, func(r []byte, v int) int { return recOff(r) - v })
				if !found {
					n--
				}
				line = max(n, 0)
			}
			if line != last {
				out = append(out, at(own[line], b.start+b.at[k]))
				last = line
			}
		}
	}
	return out
}

// moveCORE writes a record for each instruction that has one. first is the
// number of the section's first record.
func moveCORE(l *layout, recs [][]byte, first int) [][]byte {
	var out [][]byte
	for _, b := range l.bodies {
		if b.same {
			for _, r := range recs {
				if off := recOff(r); off >= b.fn.off && off < b.fn.off+b.fn.size {
					out = append(out, at(r, b.start+off-b.fn.off))
				}
			}
			continue
		}
		for k := range b.insns {
			if r := b.insns[k].Ref; r != nil && r.Kind == prog.RefCORE && r.ID >= first && r.ID < first+len(recs) {
				out = append(out, at(recs[r.ID-first], b.start+b.at[k]))
			}
		}
	}
	return out
}
