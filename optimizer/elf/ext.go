package elf

import (
	"bytes"
	"crypto/sha256"
	delf "debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// btfExt is the .BTF.ext section: per-section records whose first word is an
// instruction's byte offset (Documentation/bpf/btf.rst).
type btfExt struct {
	header  []byte
	parts   [3]extPart // function info, line info, CO-RE relocations
	strings []byte     // of .BTF
	types   string     // tells the types that CO-RE records refer to from others
}

type extPart struct {
	recSize  uint32
	sections []extSection
}

type extSection struct {
	nameOff uint32
	name    string
	recs    [][]byte
}

const (
	extFunc = iota
	extLine
	extCORE
)

var errExt = errors.New("damaged .BTF.ext section")

func readExt(f *delf.File) (*btfExt, error) {
	sec, btf := f.Section(".BTF.ext"), f.Section(".BTF")
	if sec == nil || btf == nil {
		return nil, nil
	}
	b, err := sec.Data()
	if err != nil {
		return nil, err
	}
	strs, err := btfStrings(btf)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if len(b) < 24 || le.Uint16(b) != 0xeb9f {
		return nil, errExt
	}
	hdr := le.Uint32(b[4:])
	if hdr < 24 || int(hdr) > len(b) {
		return nil, errExt
	}
	types, err := btf.Data()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(types)
	x := &btfExt{header: bytes.Clone(b[:hdr]), strings: strs, types: fmt.Sprintf("%x", digest[:8])}
	for p := range x.parts {
		at := 8 + 8*p
		if at+8 > int(hdr) {
			break // an old header has no CO-RE part
		}
		off, n := uint64(hdr)+uint64(le.Uint32(b[at:])), uint64(le.Uint32(b[at+4:]))
		if n == 0 {
			continue
		}
		if off+n > uint64(len(b)) {
			return nil, errExt
		}
		if err := x.parts[p].read(b[off:off+n], strs); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func btfStrings(s *delf.Section) ([]byte, error) {
	b, err := s.Data()
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if len(b) < 24 || le.Uint16(b) != 0xeb9f {
		return nil, errors.New("damaged .BTF section")
	}
	off, n := uint64(le.Uint32(b[4:]))+uint64(le.Uint32(b[16:])), uint64(le.Uint32(b[20:]))
	if off+n > uint64(len(b)) {
		return nil, errors.New("damaged .BTF section")
	}
	return b[off : off+n], nil
}

func (p *extPart) read(b, strs []byte) error {
	le := binary.LittleEndian
	if len(b) < 4 {
		return errExt
	}
	p.recSize = le.Uint32(b)
	if p.recSize < 8 || p.recSize > 1024 {
		return errExt
	}
	for b = b[4:]; len(b) > 0; {
		if len(b) < 8 {
			return errExt
		}
		s := extSection{nameOff: le.Uint32(b)}
		n := uint64(le.Uint32(b[4:]))
		b = b[8:]
		if n*uint64(p.recSize) > uint64(len(b)) {
			return errExt
		}
		if int(s.nameOff) >= len(strs) {
			return errExt
		}
		name := strs[s.nameOff:]
		if k := bytes.IndexByte(name, 0); k >= 0 {
			name = name[:k]
		}
		s.name = string(name)
		for range n {
			s.recs = append(s.recs, b[:p.recSize])
			b = b[p.recSize:]
		}
		p.sections = append(p.sections, s)
	}
	return nil
}

// coreAt finds the CO-RE record of the instruction at a byte offset.
func (x *btfExt) coreAt(section string, off int) (int, bool) {
	if x == nil {
		return 0, false
	}
	id := 0
	for _, s := range x.parts[extCORE].sections {
		for _, r := range s.recs {
			if s.name == section && int(binary.LittleEndian.Uint32(r)) == off {
				return id, true
			}
			id++
		}
	}
	return 0, false
}

// core returns the record of that number.
func (x *btfExt) core(id int) ([]byte, error) {
	for _, s := range x.parts[extCORE].sections {
		if id < len(s.recs) {
			return s.recs[id], nil
		}
		id -= len(s.recs)
	}
	return nil, fmt.Errorf("no CO-RE record %d", id)
}

// encode writes the section with the parts given.
func (x *btfExt) encode(parts [3]extPart) []byte {
	le := binary.LittleEndian
	hdr := bytes.Clone(x.header)
	var body []byte
	for p := range parts {
		at := 8 + 8*p
		if at+8 > len(hdr) {
			break
		}
		start := len(body)
		if parts[p].recSize > 0 {
			body = le.AppendUint32(body, parts[p].recSize)
			for _, s := range parts[p].sections {
				if len(s.recs) == 0 {
					continue
				}
				body = le.AppendUint32(body, s.nameOff)
				body = le.AppendUint32(body, uint32(len(s.recs)))
				for _, r := range s.recs {
					body = append(body, r...)
				}
			}
			if len(body) == start+4 {
				body = body[:start] // no records left
			}
		}
		le.PutUint32(hdr[at:], uint32(start))
		le.PutUint32(hdr[at+4:], uint32(len(body)-start))
	}
	return append(hdr, body...)
}
