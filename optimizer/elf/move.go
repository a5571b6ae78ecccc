package elf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/superbpf/superbpf/optimizer/prog"
)

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
		lined := map[string]bool{}
		for k := range parts[p].sections {
			s := &parts[p].sections[k]
			if l := byName[s.name]; l != nil {
				switch p {
				case extFunc:
					s.recs = moveFuncs(l, s.recs)
				case extLine:
					if s.recs = nil; !lined[s.name] {
						s.recs = o.moveLines(l)
					}
					lined[s.name] = true
				case extCORE:
					s.recs = o.moveCORE(l, s.recs)
				}
			}
		}
	}
	if err := o.addCORE(&parts[extCORE], byName); err != nil {
		return nil, err
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
func (o *Object) moveLines(l *layout) [][]byte {
	var out [][]byte
	for _, b := range l.bodies {
		own := b.fn.lines
		if len(own) == 0 {
			continue
		}
		if b.same {
			for _, r := range own {
				out = append(out, at(r, b.start+recOff(r)-b.fn.off))
			}
			continue
		}
		line, last := own[0], []byte(nil)
		for k := range b.insns {
			if r := o.lineOf(b, b.insns[k].Origin); r != nil {
				line = r
			}
			if !sameLine(line, last) {
				out = append(out, at(line, b.start+b.at[k]))
				last = line
			}
		}
	}
	return out
}

// findLines gives each function its line records, by rising offsets.
func (o *Object) findLines() {
	if o.ext == nil {
		return
	}
	for _, s := range o.ext.parts[extLine].sections {
		recs := slices.Clone(s.recs)
		slices.SortStableFunc(recs, func(a, b []byte) int { return recOff(a) - recOff(b) })
		find := func(off int) int {
			n, _ := slices.BinarySearchFunc(recs, off, func(r []byte, v int) int { return recOff(r) - v })
			return n
		}
		for _, fn := range o.funcs {
			if fn.Section == s.name {
				fn.lines = append(fn.lines, recs[find(fn.off):find(fn.off+fn.size)]...)
			}
		}
	}
}

// sameLine: two records are alike but for their offsets.
func sameLine(a, b []byte) bool { return b != nil && bytes.Equal(a[4:], b[4:]) }

// lineOf is the record of the line that an origin in a body stands for, nil if there
// is none.
func (o *Object) lineOf(b *body, origin int) []byte {
	fn := b.fn
	f := prog.Func{Inlined: b.inlined}
	if in, k, ok := f.InlinedAt(origin); ok {
		i := slices.Index(o.list, in.Callee)
		if i < 0 {
			return nil
		}
		fn, origin = o.funcs[i], k
	}
	if origin < 0 || origin >= len(fn.insnAt) || len(fn.lines) == 0 {
		return nil
	}
	n, found := slices.BinarySearchFunc(fn.lines, fn.off+fn.insnAt[origin], func(r []byte, v int) int { return recOff(r) - v })
	if !found {
		n--
	}
	return fn.lines[max(n, 0)]
}

// moveCORE writes a record for each instruction that has one: in functions that stay
// recs, the section's own. What came from another section has its record there.
func (o *Object) moveCORE(l *layout, recs [][]byte) [][]byte {
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
			if r := b.insns[k].Ref; r != nil && r.Kind == prog.RefCORE {
				if rec, err := o.ext.core(r.ID); err == nil {
					out = append(out, at(rec, b.start+b.at[k]))
				}
			}
		}
	}
	return out
}

// addCORE adds the records of sections that had none and have instructions with
// records now. The section's name is where its functions' records have it.
func (o *Object) addCORE(p *extPart, byName map[string]*layout) error {
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		if slices.ContainsFunc(p.sections, func(s extSection) bool { return s.name == name }) {
			continue
		}
		recs := o.moveCORE(byName[name], nil)
		if len(recs) == 0 {
			continue
		}
		funcs := o.ext.parts[extFunc].sections
		i := slices.IndexFunc(funcs, func(s extSection) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("section %s: no place for the CO-RE records of code that came from another section", name)
		}
		p.sections = append(p.sections, extSection{nameOff: funcs[i].nameOff, name: name, recs: recs})
	}
	return nil
}
