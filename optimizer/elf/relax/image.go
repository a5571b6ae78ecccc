package relax

import (
	"bytes"
	delf "debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

var le = binary.LittleEndian

var errDamaged = errors.New("damaged ELF file")

// image is an object whose sections and symbols can be changed. Sections keep
// their numbers.
type image struct {
	raw    []byte
	hdr    delf.Header64
	sh     []delf.Section64
	names  []string
	data   map[int][]byte // sections that were changed
	symtab int            // section number, 0 for none
	syms   []delf.Sym64
}

// open reads a 64-bit little-endian object.
func open(raw []byte) (*image, error) {
	m := &image{raw: raw, data: map[int][]byte{}}
	if len(raw) < 64 || binary.Read(bytes.NewReader(raw), le, &m.hdr) != nil ||
		m.hdr.Ident[delf.EI_CLASS] != byte(delf.ELFCLASS64) || m.hdr.Ident[delf.EI_DATA] != byte(delf.ELFDATA2LSB) {
		return nil, errDamaged
	}
	n := uint64(m.hdr.Shnum)
	if m.hdr.Shentsize != 64 || m.hdr.Shoff > uint64(len(raw)) || n*64 > uint64(len(raw))-m.hdr.Shoff || int(m.hdr.Shstrndx) >= int(n) {
		return nil, errDamaged
	}
	m.sh = make([]delf.Section64, n)
	if err := binary.Read(bytes.NewReader(raw[m.hdr.Shoff:]), le, m.sh); err != nil {
		return nil, errDamaged
	}
	strs, err := m.section(int(m.hdr.Shstrndx))
	if err != nil {
		return nil, err
	}
	for i := range m.sh {
		m.names = append(m.names, cString(strs, m.sh[i].Name))
		if m.sh[i].Type == uint32(delf.SHT_SYMTAB) {
			m.symtab = i
		}
	}
	if m.symtab != 0 {
		b, err := m.section(m.symtab)
		if err != nil || int(m.sh[m.symtab].Link) >= len(m.sh) {
			return nil, errDamaged
		}
		m.syms = make([]delf.Sym64, len(b)/24)
		if err := binary.Read(bytes.NewReader(b), le, m.syms); err != nil {
			return nil, errDamaged
		}
	}
	return m, nil
}

func cString(b []byte, off uint32) string {
	if int64(off) >= int64(len(b)) {
		return ""
	}
	b = b[off:]
	if k := bytes.IndexByte(b, 0); k >= 0 {
		b = b[:k]
	}
	return string(b)
}

// section returns a section's bytes; they must not be written to.
func (m *image) section(i int) ([]byte, error) {
	if b, ok := m.data[i]; ok {
		return b, nil
	}
	s := &m.sh[i]
	if s.Type == uint32(delf.SHT_NOBITS) || s.Type == uint32(delf.SHT_NULL) {
		return nil, nil
	}
	if s.Off > uint64(len(m.raw)) || s.Size > uint64(len(m.raw))-s.Off {
		return nil, errDamaged
	}
	return m.raw[s.Off : s.Off+s.Size], nil
}

// find returns the number of the section of that name, 0 if there is none.
func (m *image) find(name string) int {
	for i, n := range m.names {
		if n == name {
			return i
		}
	}
	return 0
}

func (m *image) executable(i int) bool {
	return i > 0 && i < len(m.sh) && m.sh[i].Type == uint32(delf.SHT_PROGBITS) && m.sh[i].Flags&uint64(delf.SHF_EXECINSTR) != 0
}

func (m *image) symName(s *delf.Sym64) string {
	strs, err := m.section(int(m.sh[m.symtab].Link))
	if err != nil {
		return ""
	}
	return cString(strs, s.Name)
}

// addString appends a string to a string table.
func (m *image) addString(table int, s string) (uint32, error) {
	b, err := m.section(table)
	if err != nil {
		return 0, err
	}
	off := len(b)
	m.data[table] = append(append(bytes.Clone(b), s...), 0)
	return uint32(off), nil
}

func (m *image) rename(sec int, name string) error {
	off, err := m.addString(int(m.hdr.Shstrndx), name)
	if err != nil {
		return err
	}
	m.sh[sec].Name, m.names[sec] = off, name
	return nil
}

func (m *image) renameSymbol(s *delf.Sym64, name string) error {
	off, err := m.addString(int(m.sh[m.symtab].Link), name)
	if err != nil {
		return err
	}
	s.Name = off
	return nil
}

// add appends a read-only data section and returns its number.
func (m *image) add(name string, data []byte) (int, error) {
	i := len(m.sh)
	m.sh = append(m.sh, delf.Section64{Type: uint32(delf.SHT_PROGBITS), Flags: uint64(delf.SHF_ALLOC), Addralign: 8})
	m.names = append(m.names, "")
	m.data[i] = data
	return i, m.rename(i, name)
}

// relocations returns the relocation section of a section and its entries.
func (m *image) relocations(sec int) (int, []delf.Rel64, error) {
	for i := range m.sh {
		if m.sh[i].Type != uint32(delf.SHT_REL) || int(m.sh[i].Info) != sec {
			continue
		}
		b, err := m.section(i)
		if err != nil {
			return 0, nil, err
		}
		rels := make([]delf.Rel64, len(b)/16)
		return i, rels, binary.Read(bytes.NewReader(b), le, rels)
	}
	return 0, nil, nil
}

// encode writes the object.
func (m *image) encode() ([]byte, error) {
	out := bytes.Clone(m.raw)
	if m.symtab != 0 {
		m.data[m.symtab] = encodeLE(m.syms)
	}
	for i := range m.sh {
		b, ok := m.data[i]
		if !ok {
			continue
		}
		for len(out)%8 != 0 {
			out = append(out, 0)
		}
		m.sh[i].Off, m.sh[i].Size = uint64(len(out)), uint64(len(b))
		out = append(out, b...)
	}
	for len(out)%8 != 0 {
		out = append(out, 0)
	}
	if len(m.sh) >= int(delf.SHN_LORESERVE) {
		return nil, fmt.Errorf("%d sections", len(m.sh))
	}
	m.hdr.Shoff, m.hdr.Shnum = uint64(len(out)), uint16(len(m.sh))
	copy(out, encodeLE(m.hdr))
	return append(out, encodeLE(m.sh)...), nil
}

func encodeLE(v any) []byte {
	var b bytes.Buffer
	binary.Write(&b, le, v) // memory does not fail, and the types are fixed
	return b.Bytes()
}
