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
		for k := range parts[p].sections {
			s := &parts[p].sections[k]
			if l := byName[s.name]; l != nil {
				switch p {
				case extFunc:
					s.recs = moveFuncs(l, s.recs)
				case extLine:
					s.recs = moveLines(l, s.recs)
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
