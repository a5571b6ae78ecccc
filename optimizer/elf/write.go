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
		l.data = append(l.data, old[b.fn.off-b.gap:b.fn.off]...)
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
			insn := in.Insn
			if !b.same {
				insn.Op = jumpOver(insn.Op, dist)
			}
			raw, err := isa.Encode(insn, dist)
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
	l.data = append(l.data, old[end:end+l.tail]...)
	slices.SortFunc(l.rels, func(a, b delf.Rel64) int { return int(a.Off) - int(b.Off) })
	return nil
}

// jumpOver is the jump for a distance in slots: the long form, which older kernels
// refuse, only where the short one does not reach.
func jumpOver(op isa.Op, dist int) isa.Op {
	switch {
	case op != isa.Ja && op != isa.Gotol:
		return op
	case dist == int(int16(dist)):
		return isa.Ja
	}
	return isa.Gotol
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
	if r.target != nil && r.typ == 0 && r.target.sec != l.sec {
		// A call within a section, which went to another one with the code around it.
		if r.sym, r.delta = o.symbolOf(r.target); r.sym == 0 {
			return fmt.Errorf("a call of %s, which has no symbol", r.target.Name)
		}
		r.typ = rel64_32
	}
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

// symbolOf is the number of the symbol by which other sections call a function, 0 for
// none. delta is 1 if that is the section's, as loaders want it for local functions.
func (o *Object) symbolOf(f *function) (sym uint32, delta int) {
	for i, s := range o.syms {
		switch kind := delf.ST_TYPE(s.Info); {
		case int(s.Section) != f.sec:
		case kind == delf.STT_FUNC && int(s.Value) == f.off && delf.ST_BIND(s.Info) != delf.STB_LOCAL:
			return uint32(i + 1), 0
		case kind == delf.STT_SECTION:
			sym, delta = uint32(i+1), 1
		case kind == delf.STT_FUNC && int(s.Value) == f.off && sym == 0:
			sym = uint32(i + 1)
		}
	}
	return sym, delta
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
		if n := uint64(len(o.raw)); h.Off <= n && h.Size <= n-h.Off {
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
			if a&(a-1) != 0 || a > maxAlign {
				return nil, fmt.Errorf("section %s: an alignment of %d bytes: the object is damaged", s.Name, a)
			}
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

// maxAlign bounds the alignment of a section that is written, in bytes.
const maxAlign = 1 << 16

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
					s.Size = uint64(b.size())
				}
			}
		}
		s.Value = uint64(start)
	}
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, syms)
	return b.Bytes(), nil
}
