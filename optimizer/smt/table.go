package smt

import (
	"hash/maphash"
	"slices"
)

// entry of the table of a context's terms, which has open addressing: a term with
// its hash, or no term.
type entry struct {
	hash uint32
	term Term
}

// find gives the term that is made of n and those arguments, which has that hash, or 0 and where in
// the table it would go.
func (c *Ctx) find(h uint32, n *Node, args []Term) (at int, found Term) {
	if 2*c.nodes.n >= len(c.table) {
		c.grow()
	}
	last := len(c.table) - 1 // it has a power of two entries
	for at = int(h) & last; ; at = (at + 1) & last {
		e := c.table[at]
		if e.term == 0 || e.hash == h && c.Node(e.term).same(n, args) {
			return at, e.term
		}
	}
}

func (c *Ctx) grow() {
	old := c.table
	c.table = make([]entry, max(1024, 2*len(old)))
	last := len(c.table) - 1
	for _, e := range old {
		if e.term == 0 {
			continue
		}
		at := int(e.hash) & last
		for c.table[at].term != 0 {
			at = (at + 1) & last
		}
		c.table[at] = e
	}
}

// same: made of the same parts, of which args come apart.
func (n *Node) same(m *Node, args []Term) bool {
	return n.Op == m.Op && n.Width == m.Width && n.K == m.K && n.Name == m.Name && slices.Equal(n.Args, args) && slices.Equal(n.Coef, m.Coef)
}

var seed = maphash.MakeSeed()

// hash is equal for what is the same.
func (n *Node) hash(args []Term) uint32 {
	const k = 0x9e3779b97f4a7c15
	h := (uint64(n.Op)<<8 | uint64(n.Width)) * k
	mix := func(x uint64) {
		h = (h ^ h>>29 ^ x) * k
	}
	mix(n.K)
	for _, a := range args {
		mix(uint64(a))
	}
	for _, c := range n.Coef {
		mix(c)
	}
	if n.Name != "" {
		mix(maphash.String(seed, n.Name))
	}
	return uint32(h >> 32)
}

// memo remembers terms by a key that is not 0: a hash table with open addressing,
// as most look-ups are for what is not in the processor's caches.
type memo struct {
	slots []remembered // their number is a power of two
	used  int
}

type remembered struct {
	key  uint64
	term Term
}

// at is where key is, or would go.
func (m *memo) at(key uint64) *remembered {
	last := uint64(len(m.slots) - 1)
	for i := key * 0x9e3779b97f4a7c15 >> 32 & last; ; i = (i + 1) & last {
		if s := &m.slots[i]; s.key == key || s.key == 0 {
			return s
		}
	}
}

// get gives what was put, or 0.
func (m *memo) get(key uint64) Term {
	if m.used == 0 {
		return 0
	}
	return m.at(key).term
}

func (m *memo) put(key uint64, t Term) {
	if 2*m.used >= len(m.slots) {
		old := m.slots
		m.slots = make([]remembered, max(1024, 2*len(old)))
		for _, s := range old {
			if s.key != 0 {
				*m.at(s.key) = s
			}
		}
	}
	s := m.at(key)
	if s.key == 0 {
		m.used++
	}
	*s = remembered{key, t}
}
