package slice

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/absint"
	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Memory in terms: a load is an operation on its base whose immediate is the
// offset, and may stand anywhere; a store of a register, or of a constant, stands
// at the root, where it says what is written and where, or there are several (see
// Then). A term's loads all see memory as it is before its stores: what may write
// between them and the root keeps a load out of the slice.

// isMemory: the row accesses memory, in a form that terms have.
func isMemory(row *isa.Row) bool {
	return row.Kind == isa.KindLoad || row.Kind == isa.KindStore && !row.Imm
}

// IsStore reports whether the term is a store, or several.
func (t *Term) IsStore() bool {
	return t.Root >= 0 && (t.Nodes[t.Root].Op == Then || isa.RowOf(t.Nodes[t.Root].Op).Kind == isa.KindStore)
}

// valued: the term leaves a value in a register.
func (t *Term) valued() bool { return !t.IsBranch() && !t.IsStore() }

// Offsets lists the distinct offsets of loads and stores in increasing order.
func (t *Term) Offsets() []int64 {
	var out []int64
	for i := range t.Nodes {
		if t.Nodes[i].IsMemory() {
			out = append(out, t.Nodes[i].Imm)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// IsMemory reports whether the node is a load or a store; its immediate is the
// offset then.
func (n *Node) IsMemory() bool { return isMemory(isa.RowOf(n.Op)) }

// Place resolves an address to an input and a distance from it, through additions
// of constants.
func (t *Term) Place(r Ref, off int64) (input int, at int64, ok bool) {
	for {
		if i, is := r.IsInput(); is {
			return i, off, true
		}
		if r == None || t.Nodes[r].Op != isa.ALU(isa.FnAdd, 64, true) {
			return 0, 0, false
		}
		off += t.Nodes[r].Imm
		r = t.Nodes[r].A
	}
}

// Byte is a byte of memory, by its distance from an input.
type Byte struct {
	Input int
	At    int64
}

// Loads lists the bytes that the term's loads read; ok is false when an address
// is not an input and a distance.
func (t *Term) Loads() (bytes map[Byte]bool, ok bool) {
	ok = true
	for i := range t.Nodes {
		n := &t.Nodes[i]
		row := isa.RowOf(n.Op)
		if row.Kind != isa.KindLoad {
			continue
		}
		in, at, can := t.Place(n.B, n.Imm)
		if !can {
			ok = false
			continue
		}
		if bytes == nil {
			bytes = map[Byte]bool{}
		}
		for k := range int64(row.Width / 8) {
			bytes[Byte{in, at + k}] = true
		}
	}
	return bytes, ok
}

// mix is a permutation of 64 bits without any pattern (that of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Memory is what loads see in each state: a byte is a hash of its address, but for
// a few bytes that were put there. The zero value, and nil, have none.
type Memory struct {
	at, val interp.Lanes
	bytes   [interp.NumLanes]uint64
}

// Put places the n low bytes of v, up to 8, at an address in one state, instead of
// what was put there before.
func (m *Memory) Put(lane int, at uint64, n int, v uint64) {
	m.at[lane], m.bytes[lane], m.val[lane] = at, uint64(n), v
}

func (m *Memory) byte(lane int, at uint64) uint64 {
	if m != nil {
		if d := at - m.at[lane]; d < m.bytes[lane] {
			return m.val[lane] >> (8 * d) & 0xff
		}
	}
	return mix(at*0x9e3779b97f4a7c15+1) >> 56
}

// Access carries out a load of all states.
func (m *Memory) Access(op isa.Op, off int64, b, out *interp.Lanes) {
	row := isa.RowOf(op)
	for i := range out {
		v := uint64(0)
		for k := range uint64(row.Width / 8) {
			v |= m.byte(i, b[i]+uint64(off)+k) << (8 * k)
		}
		if row.Signed {
			v = uint64(int64(v<<(64-row.Width)) >> (64 - row.Width))
		}
		out[i] = v
	}
}

// loadable: the load may be part of a slice. The context has fields instead of
// bytes.
func (x *finder) loadable(k int) bool {
	in := &x.f.Insns[k]
	if in.Ref != nil {
		return false
	}
	switch x.facts.At(k).Reg(in.Src).Kind {
	case absint.Stack, absint.Packet, absint.PacketMeta, absint.MapValue, absint.Unknown:
		return true
	}
	return false
}

// storable: the store may be the root of a slice.
func (x *finder) storable(k int) bool {
	in := &x.f.Insns[k]
	kind := x.facts.At(k).Reg(in.Dst).Kind
	return in.Ref == nil && (kind.IsPointer() && kind != absint.Ctx || kind == absint.Unknown)
}

// unwritten: nothing between the load at trace position q and the root may write
// what it reads. The members of the slice write nothing before the root.
func (x *finder) unwritten(q int) bool {
	load := &x.f.Insns[x.trace[q]]
	from := x.facts.At(x.trace[q]).Reg(load.Src)
	for _, k := range x.trace[q+1 : len(x.trace)-1] {
		in := &x.f.Insns[k]
		switch row := in.Row(); {
		case in.IsCall(), row.Kind == isa.KindAtomic:
			return false
		case row.Kind == isa.KindStore:
			to := x.facts.At(k).Reg(in.Dst)
			if from.Kind == absint.Unknown || to.Kind == absint.Unknown || !to.Kind.IsPointer() {
				return false
			}
			if from.Kind == to.Kind && !apart(load, from, in, to) {
				return false
			}
		}
	}
	return true
}

// apart: the accesses, both in this frame, do not meet.
func apart(load *prog.Insn, from absint.Value, store *prog.Insn, to absint.Value) bool {
	a, known := from.Num.IsConst()
	b, also := to.Num.IsConst()
	if from.Kind != absint.Stack || !known || !also {
		return false
	}
	l, s := int64(a)+int64(load.Off), int64(b)+int64(store.Off)
	return l+int64(load.Row().Width/8) <= s || s+int64(store.Row().Width/8) <= l
}
