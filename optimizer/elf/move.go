package elf

import (
	"bytes"
	"encoding/binary"
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
