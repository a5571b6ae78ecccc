package mapstate

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
)

// Shape is a map's definition, sizes in bytes.
type Shape struct {
	Name                           string
	Type                           uint32 // enum bpf_map_type
	KeySize, ValueSize, MaxEntries uint32
	Flags                          uint32
}

// Bounds of what Random fills.
const (
	mostEntries = 32
	mostKey     = 256
	mostValue   = 1 << 14
)

// userReadOnly (BPF_F_RDONLY): user space must not write to the map.
const userReadOnly = 1 << 3

// Random makes contents for a map whose elements are plain bytes: numbers at
// random, small ones, and those of dict, with keys that programs are likely to
// ask for. It has no entries for other maps. Equal arguments give equal contents.
func Random(s Shape, seed uint64, dict []uint64) State {
	h := fnv.New64a()
	h.Write([]byte(s.Name))
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	out := State{Name: s.Name}
	if s.Flags&userReadOnly != 0 || s.KeySize > mostKey || s.ValueSize > mostValue || s.MaxEntries == 0 {
		return out
	}
	n := min(s.MaxEntries, mostEntries)
	seen := map[string]bool{}
	for k := range n {
		var key []byte
		switch s.Type {
		case 2, 6: // array, percpu_array
			if s.KeySize != 4 {
				return out
			}
			key = binary.NativeEndian.AppendUint32(nil, k)
		case 1, 5, 9, 10: // hash, percpu_hash, lru_hash, lru_percpu_hash
			key = make([]byte, s.KeySize)
			switch {
			case k%3 == 0:
				word(key, uint64(k/3))
			case k%3 == 1 && len(dict) > 0:
				word(key, dict[(int(seed%uint64(len(dict)))+int(k/3))%len(dict)])
			default:
				fill(r, key, dict)
			}
		case 11: // lpm_trie: the prefix's length comes first
			if s.KeySize < 5 {
				return out
			}
			key = make([]byte, s.KeySize)
			fill(r, key[4:], dict)
			binary.NativeEndian.PutUint32(key, uint32(r.IntN(int(8*(s.KeySize-4)+1))))
		default:
			return out
		}
		if seen[string(key)] {
			continue
		}
		seen[string(key)] = true
		value := make([]byte, s.ValueSize)
		fill(r, value, dict)
		out.Entries = append(out.Entries, Entry{Key: key, Value: value})
	}
	return out
}

// word puts a number into the first bytes of b.
func word(b []byte, v uint64) {
	for i := 0; i < len(b) && i < 8; i++ {
		b[i] = byte(v >> (8 * i))
	}
}

// fill puts bytes, sparse small bytes, or words into b.
func fill(r *rand.Rand, b []byte, dict []uint64) {
	switch r.IntN(3) {
	case 0:
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	case 1:
		for i := range b {
			if r.IntN(4) == 0 {
				b[i] = byte(r.IntN(4))
			}
		}
	case 2:
		for i := 0; i+4 <= len(b); i += 4 {
			v := uint64(r.IntN(3))
			if len(dict) > 0 && r.IntN(2) == 0 {
				v = dict[r.IntN(len(dict))]
			}
			binary.NativeEndian.PutUint32(b[i:], uint32(v))
		}
	}
}
