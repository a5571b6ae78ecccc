package relax

import (
	"bytes"
	"errors"
)

// Kinds of BTF types (Documentation/bpf/btf.rst).
const (
	kindInt      = 1
	kindPtr      = 2
	kindArray    = 3
	kindStruct   = 4
	kindUnion    = 5
	kindEnum     = 6
	kindTypedef  = 8
	kindVolatile = 9
	kindConst    = 10
	kindRestrict = 11
	kindFunc     = 12
	kindProto    = 13
	kindVar      = 14
	kindDatasec  = 15
	kindDeclTag  = 17
	kindTypeTag  = 18
	kindEnum64   = 19
)

var errBTF = errors.New("damaged .BTF section")

// types is a .BTF section whose types can be changed where they stand.
type types struct {
	b    []byte
	at   []int // byte offset of each type; type 0, void, has none
	strs int   // byte offset of the strings
}

// readTypes finds the types of a section. It takes over b.
func readTypes(b []byte) (*types, error) {
	if len(b) < 24 || le.Uint16(b) != 0xeb9f {
		return nil, errBTF
	}
	hdr := uint64(le.Uint32(b[4:]))
	typeOff, typeLen := hdr+uint64(le.Uint32(b[8:])), uint64(le.Uint32(b[12:]))
	strOff, strLen := hdr+uint64(le.Uint32(b[16:])), uint64(le.Uint32(b[20:]))
	if typeOff+typeLen > uint64(len(b)) || strOff+strLen != uint64(len(b)) {
		return nil, errBTF // strings are added at the end, so they must be there
	}
	t := &types{b: b, at: []int{-1}, strs: int(strOff)}
	for p, end := int(typeOff), int(typeOff+typeLen); p < end; {
		if p+12 > end {
			return nil, errBTF
		}
		t.at = append(t.at, p)
		info := le.Uint32(b[p+4:])
		n := int(info & 0xffff)
		extra := 0
		switch info >> 24 & 0x1f {
		case kindInt, kindVar, kindDeclTag:
			extra = 4
		case kindArray:
			extra = 12
		case kindStruct, kindUnion, kindDatasec, kindEnum64:
			extra = 12 * n
		case kindEnum, kindProto:
			extra = 8 * n
		}
		if p += 12 + extra; p > end {
			return nil, errBTF
		}
	}
	return t, nil
}

func (t *types) ok(id int) bool { return id > 0 && id < len(t.at) }

func (t *types) kind(id int) uint32 {
	if !t.ok(id) {
		return 0
	}
	return le.Uint32(t.b[t.at[id]+4:]) >> 24 & 0x1f
}

func (t *types) name(id int) string {
	if !t.ok(id) {
		return ""
	}
	return cString(t.b[t.strs:], le.Uint32(t.b[t.at[id]:]))
}

// word is a type's third word: its size or the type it refers to.
func (t *types) word(id int) int { return int(le.Uint32(t.b[t.at[id]+8:])) }

func (t *types) setWord(id, v int) { le.PutUint32(t.b[t.at[id]+8:], uint32(v)) }

// extra is the n-th word behind a type.
func (t *types) extra(id, n int) int { return int(le.Uint32(t.b[t.at[id]+12+4*n:])) }

func (t *types) setExtra(id, n, v int) { le.PutUint32(t.b[t.at[id]+12+4*n:], uint32(v)) }

// bare follows modifiers and typedefs.
func (t *types) bare(id int) int {
	for range 64 {
		switch t.kind(id) {
		case kindTypedef, kindVolatile, kindConst, kindRestrict, kindTypeTag:
			id = t.word(id)
		default:
			return id
		}
	}
	return 0
}

// size in bytes of a type that a variable may have; 0 if it has none.
func (t *types) size(id int) int {
	id = t.bare(id)
	switch t.kind(id) {
	case kindInt, kindEnum, kindEnum64, kindStruct, kindUnion:
		return t.word(id)
	case kindPtr:
		return 8
	case kindArray:
		if n, s := t.extra(id, 2), t.size(t.extra(id, 0)); s > 0 && n < 1<<20/s {
			return n * s
		}
	}
	return 0
}

// datasec finds the data section type of that name, 0 if there is none.
func (t *types) datasec(name string) int {
	for id := range t.at {
		if t.kind(id) == kindDatasec && t.name(id) == name {
			return id
		}
	}
	return 0
}

// members lists the type numbers of a data section's variables.
func (t *types) members(id int) []int {
	n := int(le.Uint32(t.b[t.at[id]+4:]) & 0xffff)
	out := make([]int, n)
	for k := range out {
		out[k] = t.extra(id, 3*k)
	}
	return out
}

// global reports whether a variable has a name outside its file.
func (t *types) global(id int) bool { return t.kind(id) == kindVar && t.extra(id, 0) != 0 }

func (t *types) rename(id int, name string) {
	n := t.addString(name)
	le.PutUint32(t.b[t.at[id]:], n)
}

// addString appends a string and returns its place.
func (t *types) addString(name string) uint32 {
	n := le.Uint32(t.b[20:])
	t.b = append(append(bytes.Clone(t.b), name...), 0)
	le.PutUint32(t.b[20:], n+uint32(len(name))+1)
	return n
}
