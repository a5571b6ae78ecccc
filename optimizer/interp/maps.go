package interp

import (
	"bytes"
	"encoding/binary"
	"sort"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// Entry is one element of a map.
type Entry struct{ Key, Value []byte }

// mapState is a map during a run. Values lie one after another in the map's
// region, each rounded up to 8 bytes; a hash map's slots are handed out in
// order of insertion and never reused in a run, so stale pointers stay harmless.
type mapState struct {
	def    *prog.Map
	region int
	stride int
	slots  map[string]int // hash-like maps: key to slot
	live   int
	queue  [][]byte
}

func newMap(def *prog.Map, region int) *mapState {
	return &mapState{def: def, region: region, stride: int(def.ValueSize+7) &^ 7}
}

func (s *mapState) isArray() bool {
	switch s.def.Type {
	case prog.MapArray, prog.MapPerCPUArray, prog.MapProgArray, prog.MapPerfEvent, prog.MapDevMap, prog.MapCPUMap, prog.MapXSKMap, prog.MapArrayOfMaps:
		return true
	}
	return false
}

// sparse: an array in which an entry is absent until it is set.
func (s *mapState) sparse() bool {
	return s.isArray() && s.def.Type != prog.MapArray && s.def.Type != prog.MapPerCPUArray
}

// maxArrayBytes bounds the memory of one array in a run; larger arrays are kept
// like hash maps whose entries appear, zeroed, when first looked up.
const maxArrayBytes = 1 << 20

func (s *mapState) dense() bool {
	return s.isArray() && !s.sparse() && s.stride*int(s.def.MaxEntries) <= maxArrayBytes
}

// reset restores the initial contents.
func (s *mapState) reset(m *memory, entries []Entry) {
	s.slots, s.live, s.queue = nil, 0, nil
	if s.dense() {
		n := s.stride * int(s.def.MaxEntries)
		if len(m.data[s.region]) != n {
			m.data[s.region] = make([]byte, n)
		} else {
			clear(m.data[s.region])
		}
		copy(m.data[s.region], s.def.Data)
	} else {
		m.data[s.region] = m.data[s.region][:0]
		s.slots = map[string]int{}
		if s.def.Data != nil {
			s.insert(m, make([]byte, s.def.KeySize), s.def.Data)
		}
	}
	for _, e := range entries {
		s.update(m, e.Key, e.Value, 0)
	}
}

func (s *mapState) addr(slot int) uint64 { return regionAddr(s.region) + uint64(slot*s.stride) }

func (s *mapState) insert(m *memory, key, value []byte) int {
	d := m.data[s.region]
	slot := len(d) / max(s.stride, 1)
	d = append(d, make([]byte, s.stride)...)
	copy(d[slot*s.stride:], value)
	m.data[s.region] = d
	s.slots[string(key)] = slot
	s.live++
	return slot
}

// find returns the slot of a key.
func (s *mapState) find(m *memory, key []byte) (int, bool) {
	if s.isArray() {
		k := binary.LittleEndian.Uint32(key)
		if k >= s.def.MaxEntries {
			return 0, false
		}
		if s.dense() {
			return int(k), true
		}
	}
	if s.def.Type == prog.MapLPMTrie {
		return s.longest(key)
	}
	slot, ok := s.slots[string(key)]
	if !ok && s.isArray() && !s.sparse() {
		return s.insert(m, key, nil), true
	}
	return slot, ok
}

// longest is the lookup of an LPM trie: the most specific stored prefix that
// covers the key and is no longer than the key's own length.
func (s *mapState) longest(key []byte) (int, bool) {
	best, slot := -1, 0
	want := int(min(binary.LittleEndian.Uint32(key), uint32(8*(len(key)-4))))
	for k, at := range s.slots {
		n := int(binary.LittleEndian.Uint32([]byte(k[:4])))
		if n <= want && n > best && samePrefix([]byte(k[4:]), key[4:], n) {
			best, slot = n, at
		}
	}
	return slot, best >= 0
}

func samePrefix(a, b []byte, n int) bool {
	if !bytes.Equal(a[:n/8], b[:n/8]) {
		return false
	}
	return n%8 == 0 || (a[n/8]^b[n/8])>>(8-n%8) == 0
}

// Errors that map helpers return to the program.
const (
	eNOENT = -2
	eEXIST = -17
	eINVAL = -22
	e2BIG  = -7
)

// update is BPF_MAP_UPDATE_ELEM with flags BPF_ANY 0, BPF_NOEXIST 1, BPF_EXIST 2.
func (s *mapState) update(m *memory, key, value []byte, flags uint64) int64 {
	if flags > 2 {
		return eINVAL
	}
	if len(key) != int(s.def.KeySize) || len(value) > int(s.def.ValueSize) {
		return eINVAL
	}
	if s.isArray() {
		if binary.LittleEndian.Uint32(key) >= s.def.MaxEntries {
			return e2BIG
		}
		if flags == 1 {
			return eEXIST
		}
	}
	var slot int
	var ok bool
	if s.def.Type == prog.MapLPMTrie {
		if binary.LittleEndian.Uint32(key) > uint32(8*(len(key)-4)) {
			return eINVAL
		}
		slot, ok = s.slots[string(s.masked(key))]
		key = s.masked(key)
	} else if s.dense() {
		slot, ok = int(binary.LittleEndian.Uint32(key)), true
	} else {
		slot, ok = s.slots[string(key)]
	}
	switch {
	case ok && flags == 1:
		return eEXIST
	case !ok && flags == 2:
		return eNOENT
	case !ok && !s.isArray() && s.live >= int(s.def.MaxEntries):
		if s.def.Type != prog.MapLRUHash && s.def.Type != prog.MapLRUPerCPUHash {
			return e2BIG
		}
		s.evict()
		s.insert(m, key, value)
	case !ok:
		s.insert(m, key, value)
	case s.isArray():
		copy(m.data[s.region][slot*s.stride:], value)
	default: // an update of a hash element replaces it: old pointers keep the old value
		s.live--
		s.insert(m, key, value)
	}
	return 0
}

// masked clears the bits behind a trie key's prefix.
func (s *mapState) masked(key []byte) []byte {
	k := bytes.Clone(key)
	n := int(binary.LittleEndian.Uint32(k))
	for i := range k[4:] {
		switch left := n - 8*i; {
		case left <= 0:
			k[4+i] = 0
		case left < 8:
			k[4+i] &= 0xff << (8 - left)
		}
	}
	return k
}

// evict drops the oldest element of an LRU map.
func (s *mapState) evict() {
	oldest, at := "", -1
	for k, slot := range s.slots {
		if at < 0 || slot < at {
			oldest, at = k, slot
		}
	}
	if at >= 0 {
		delete(s.slots, oldest)
		s.live--
	}
}

func (s *mapState) remove(key []byte) int64 {
	if s.isArray() && !s.sparse() {
		return eINVAL
	}
	if s.def.Type == prog.MapLPMTrie {
		key = s.masked(key)
	}
	if _, ok := s.slots[string(key)]; !ok {
		return eNOENT
	}
	delete(s.slots, string(key))
	s.live--
	return 0
}

// entries lists the contents by key. Elements of arrays that are all zero are
// left out.
func (s *mapState) entries(m *memory) []Entry {
	var out []Entry
	value := func(slot int) []byte {
		return bytes.Clone(m.data[s.region][slot*s.stride:][:s.def.ValueSize])
	}
	if s.dense() {
		for k := range int(s.def.MaxEntries) {
			if v := value(k); len(bytes.Trim(v, "\x00")) > 0 {
				out = append(out, Entry{binary.LittleEndian.AppendUint32(nil, uint32(k)), v})
			}
		}
		return out
	}
	for k, slot := range s.slots {
		v := value(slot)
		if s.isArray() && !s.sparse() && len(bytes.Trim(v, "\x00")) == 0 {
			continue
		}
		out = append(out, Entry{[]byte(k), v})
	}
	sort.Slice(out, func(i, j int) bool { return bytes.Compare(out[i].Key, out[j].Key) < 0 })
	for _, v := range s.queue {
		out = append(out, Entry{nil, bytes.Clone(v)})
	}
	return out
}
