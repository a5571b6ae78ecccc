package relax

import (
	"bytes"
	delf "debug/elf"
	"slices"
)

// span is a function's place in its section, in bytes.
type span struct{ from, to uint64 }

// functions lists the places of a section's functions, in order.
func (m *image) functions(sec int) []span {
	var out []span
	for k := range m.syms {
		if s := &m.syms[k]; int(s.Shndx) == sec && delf.ST_TYPE(s.Info) == delf.STT_FUNC && s.Size > 0 {
			out = append(out, span{s.Value, s.Value + s.Size})
		}
	}
	slices.SortFunc(out, func(a, b span) int { return int(a.from) - int(b.from) })
	return slices.Compact(out) // a function may have several names
}

// hasGaps reports whether there is code between functions, as static linking
// leaves of weak functions that lost to others.
func (m *image) hasGaps() bool {
	for sec := range m.sh {
		if !m.executable(sec) {
			continue
		}
		end := uint64(0)
		for _, f := range m.functions(sec) {
			if f.from > end {
				return true
			}
			end = max(end, f.to)
		}
	}
	return false
}

// closeGaps moves the records of .BTF.ext to where the reader looks for them: it
// counts instructions as if there were nothing between functions.
func (m *image) closeGaps() error {
	ext := m.find(".BTF.ext")
	if ext == 0 || !m.hasGaps() {
		return nil
	}
	b, err := m.section(ext)
	if err != nil {
		return err
	}
	btf := m.find(".BTF")
	types, err := m.section(btf)
	if err != nil || len(b) < 24 || len(types) < 24 {
		return errDamaged
	}
	strs := uint64(le.Uint32(types[4:])) + uint64(le.Uint32(types[16:]))
	size := uint64(le.Uint32(b[4:]))
	if strs > uint64(len(types)) || size < 24 || size > uint64(len(b)) {
		return errDamaged
	}
	hdr := bytes.Clone(b[:size])
	var body []byte
	// Offset and length of function info, line info and CO-RE records follow each
	// other in struct btf_ext_header.
	for at := 8; at+8 <= int(size) && at < 32; at += 8 {
		off, n := size+uint64(le.Uint32(b[at:])), uint64(le.Uint32(b[at+4:]))
		if off+n > uint64(len(b)) {
			return errDamaged
		}
		part, err := m.closeIn(b[off:off+n], types[strs:])
		if err != nil {
			return err
		}
		le.PutUint32(hdr[at:], uint32(len(body)))
		le.PutUint32(hdr[at+4:], uint32(len(part)))
		body = append(body, part...)
	}
	m.data[ext] = append(hdr, body...)
	return nil
}

// closeIn does so for one kind of records.
func (m *image) closeIn(b, strs []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < 4 || le.Uint32(b) < 8 {
		return nil, errDamaged
	}
	rec := uint64(le.Uint32(b))
	out := bytes.Clone(b[:4])
	for b = b[4:]; len(b) > 0; {
		if len(b) < 8 || uint64(le.Uint32(b[4:]))*rec > uint64(len(b)-8) {
			return nil, errDamaged
		}
		spans := m.functions(m.find(cString(strs, le.Uint32(b))))
		head := len(out)
		out = append(out, b[:8]...)
		count := uint32(0)
		n := uint64(le.Uint32(b[4:]))
		for b = b[8:]; n > 0; n, b = n-1, b[rec:] {
			if off, ok := without(spans, uint64(le.Uint32(b))); ok {
				r := bytes.Clone(b[:rec])
				le.PutUint32(r, uint32(off))
				out = append(out, r...)
				count++
			}
		}
		le.PutUint32(out[head+4:], count)
		if count == 0 {
			out = out[:head] // the reader refuses sections without records
		}
	}
	return out, nil
}

// without is a place as it is when only the functions are counted; false between
// them.
func without(spans []span, off uint64) (uint64, bool) {
	n := uint64(0)
	for _, s := range spans {
		if off >= s.from && off < s.to {
			return n + off - s.from, true
		}
		n += s.to - s.from
	}
	return 0, false
}
