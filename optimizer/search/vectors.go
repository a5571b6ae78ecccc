package search

import "math/bits"

// chunk is a piece of memory for values: as they are added, none is copied.
type chunk [256]vector

// room lends chunks to banks, which give them back.
type room struct{ free []*chunk }

func (r *room) lend() *chunk {
	if n := len(r.free); n > 0 {
		c := r.free[n-1]
		r.free = r.free[:n-1]
		return c
	}
	return new(chunk)
}

// vectors is a list of values.
type vectors struct {
	*room
	chunks []*chunk
	n      int
}

func (v *vectors) at(i int32) *vector { return &v.chunks[i>>8][i&255] }

func (v *vectors) add(x *vector) {
	if v.n>>8 == len(v.chunks) {
		v.chunks = append(v.chunks, v.lend())
	}
	*v.at(int32(v.n)) = *x
	v.n++
}

// release empties the list.
func (v *vectors) release() {
	v.free = append(v.free, v.chunks...)
	v.chunks, v.n = v.chunks[:0], 0
}

// places finds values by their hashes, which are spread well already: a hash table
// with open addressing.
type places struct {
	slots []place // their number is a power of two
	used  int
}

type place struct {
	hash uint64
	at   int32 // one more; 0: no place
}

func (p *places) slot(hash uint64) *place {
	last := uint64(len(p.slots) - 1)
	for i := hash & last; ; i = (i + 1) & last {
		if s := &p.slots[i]; s.at == 0 || s.hash == hash {
			return s
		}
	}
}

// get is the place of a hash, if it has one.
func (p *places) get(hash uint64) (int32, bool) {
	if p.used == 0 {
		return 0, false
	}
	s := p.slot(hash)
	return s.at - 1, s.at != 0
}

// put gives a hash its place, unless it has one.
func (p *places) put(hash uint64, at int32) {
	if 2*p.used >= len(p.slots) {
		old := p.slots
		p.slots = make([]place, max(64, 2*len(old)))
		for _, s := range old {
			if s.at != 0 {
				*p.slot(s.hash) = s
			}
		}
	}
	if s := p.slot(hash); s.at == 0 {
		*s = place{hash, at + 1}
		p.used++
	}
}

// reset forgets all.
func (p *places) reset() {
	clear(p.slots)
	p.used = 0
}

// sieve tells of most pairs of lanes that no value has them: a bit for each pair
// that one has, at the place that its hash gives.
type sieve []uint64

const sieveBits = 20

func sieveBit(x0, x1 uint64) uint64 {
	return (bits.RotateLeft64(x0*0x9fb21c651e98df25, 32) ^ x1) * 0xd6e8feb86659fd93 >> (64 - sieveBits)
}

func (s *sieve) add(x0, x1 uint64) {
	if *s == nil {
		*s = make(sieve, 1<<sieveBits/64)
	}
	i := sieveBit(x0, x1)
	(*s)[i/64] |= 1 << (i % 64)
}

func (s sieve) has(x0, x1 uint64) bool {
	i := sieveBit(x0, x1)
	return s != nil && s[i/64]>>(i%64)&1 == 1
}

func (s sieve) reset() { clear(s) }
