package absint

import (
	"maps"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Kind is what a register or stack slot holds.
type Kind uint8

// The kinds. Unknown may be anything, a pointer into the stack included.
const (
	Uninit Kind = iota // must not be read
	Scalar             // any number; never an address of this frame
	Ctx
	Stack
	Packet
	PacketMeta
	PacketEnd
	MapPtr
	MapValue
	MapValueOrNull
	Unknown
)

var kindNames = [...]string{"uninit", "scalar", "ctx", "stack", "packet", "packet_meta", "packet_end", "map_ptr", "map_value",
	"map_value_or_null", "unknown"}

func (k Kind) String() string { return kindNames[k] }

// IsPointer reports whether k is a pointer that may be dereferenced or named.
func (k Kind) IsPointer() bool { return k >= Ctx && k < Unknown }

// Value is what is known of a register or slot.
type Value struct {
	Kind Kind
	// Num is the number of a scalar, or a pointer's distance in bytes from its
	// base: the frame's top for Stack, the first byte for the others.
	Num Num
	// Map is the map of MapPtr, MapValue and MapValueOrNull; nil if unknown.
	Map *prog.Map
	// ID is shared by values known to be constants apart (scalars), to be NULL
	// together (MapValueOrNull), or to have the same variable part (Packet); 0 for
	// none.
	ID int32
	// Fix is a packet pointer's constant distance from its variable part, and a
	// scalar's from what others of its ID are told by, both modulo 2^64.
	Fix int64
}

func scalar(n Num) Value { return Value{Kind: Scalar, Num: n} }

var (
	uninit  = Value{Num: Full(64)}
	unknown = Value{Kind: Unknown, Num: Full(64)}
)

// IDs of the packet pointers without a variable part.
const (
	packetStart int32 = -1
	metaStart   int32 = -2
	noPacket    int32 = -3 // a variable part of which nothing is known
)

// byteFact is what is known of a stack byte.
type byteFact struct {
	init bool // written on every path
	t    struct{ v, m uint8 }
}

// cell is a value stored by one instruction and not overwritten since.
type cell struct {
	size int
	v    Value
}

// State is what is known before an instruction.
type State struct {
	Reachable bool
	Regs      [isa.NumRegs]Value
	bytes     [isa.StackSize]byteFact
	cells     map[int]cell // by offset from the frame's low end
	// proved maps a packet pointer's ID to the number of bytes after its
	// variable part that are in the packet.
	proved map[int32]int64
}

func newState(f *prog.Func) *State {
	s := &State{Reachable: true, cells: map[int]cell{}, proved: map[int32]int64{}}
	for r := range s.Regs {
		s.Regs[r] = uninit
	}
	for k := range s.bytes {
		s.bytes[k].t.m = 0xff
	}
	zero := Const(0, 64)
	s.Regs[isa.R10] = Value{Kind: Stack, Num: zero}
	for r := isa.R1; r <= isa.R5; r++ {
		a := f.Given(r)
		if a.Kind != prog.ArgAny || int(r) <= f.NumArgs {
			s.Regs[r] = given(a, r)
		}
	}
	return s
}

func (s *State) clone() *State {
	c := *s
	c.cells = maps.Clone(s.cells)
	c.proved = maps.Clone(s.proved)
	return &c
}

// Reg returns what is known of a register.
func (s *State) Reg(r isa.Reg) Value { return s.Regs[r] }

// PacketBytes is how many bytes from pointer v on are known to be in the
// packet; 0 when none are.
func (s *State) PacketBytes(v Value) int64 {
	if v.Kind != Packet && v.Kind != PacketMeta {
		return 0
	}
	return max(s.proved[v.ID]-v.Fix, 0)
}

// StackInit reports whether all n bytes at off (negative, from R10) have been
// written on every path.
func (s *State) StackInit(off, n int) bool {
	at := off + isa.StackSize
	if at < 0 || n < 0 || at+n > isa.StackSize {
		return false
	}
	for k := at; k < at+n; k++ {
		if !s.bytes[k].init {
			return false
		}
	}
	return true
}

// StackValue is what a load of size bytes at off (negative, from R10) gives,
// zero-extended.
func (s *State) StackValue(off, size int) Value {
	at := off + isa.StackSize
	if at < 0 || size < 1 || size > 8 || at+size > isa.StackSize {
		return unknown
	}
	if c, ok := s.cells[at]; ok && c.size == size {
		return c.v
	}
	for o, c := range s.cells {
		if o < at+size && at < o+c.size && c.v.Kind != Scalar {
			return unknown // part of a spilled pointer
		}
	}
	n := Full(64)
	n.T.M = mask(uint8(8 * size))
	for k := range size {
		b := s.bytes[at+k].t
		n.T.V |= uint64(b.v) << (8 * k)
		n.T.M &^= uint64(^b.m) << (8 * k)
	}
	if !s.StackInit(off, size) && size == 8 {
		return unknown
	}
	return scalar(n.norm())
}

// store puts v, size bytes of it, at offset at of the frame's low end.
func (s *State) store(at, size int, v Value) {
	for o, c := range s.cells {
		if o < at+size && at < o+c.size {
			delete(s.cells, o) // what remains of a pointer is a number
		}
	}
	for k := range size {
		b := &s.bytes[at+k]
		b.init = true
		b.t.v, b.t.m = 0, 0xff
		if v.Kind == Scalar {
			b.t.v, b.t.m = uint8(v.Num.T.V>>(8*k)), uint8(v.Num.T.M>>(8*k))
		}
	}
	if size < 8 {
		if v.Kind != Scalar {
			return
		}
		v = scalar(zext(extract(v.Num, 0, uint8(8*size)), 64))
	}
	s.cells[at] = cell{size, v}
}

// forget loses the contents of n bytes from at; wrote marks them as written.
func (s *State) forget(at, n int, wrote bool) {
	at, n = max(at, 0), min(n, isa.StackSize-max(at, 0))
	for o, c := range s.cells {
		if o < at+n && at < o+c.size {
			delete(s.cells, o) // what remains of a pointer is a number
		}
	}
	for k := at; k < at+n; k++ {
		s.bytes[k].t.v, s.bytes[k].t.m = 0, 0xff
		s.bytes[k].init = s.bytes[k].init || wrote
	}
}

// each calls f on every register and cell.
func (s *State) each(f func(*Value)) {
	for r := range s.Regs {
		f(&s.Regs[r])
	}
	for o, c := range s.cells {
		before := c.v
		f(&c.v)
		if c.v != before {
			s.cells[o] = c
		}
	}
}

// fresh makes id unused, so that the values of this execution of an
// instruction are not taken for those of an earlier one.
func (s *State) fresh(id int32) {
	delete(s.proved, id)
	s.each(func(v *Value) {
		if v.ID == id {
			v.ID = 0
			if v.Kind == Packet || v.Kind == PacketMeta {
				v.ID = noPacket
			} else {
				v.Fix = 0
			}
		}
	})
}

// joinValue contains both values.
func joinValue(a, b Value, widen bool) Value {
	if a == b {
		return a
	}
	num := a.Num.Join
	if widen {
		num = a.Num.widen
	}
	if a.Kind == Uninit || b.Kind == Uninit {
		return uninit
	}
	isNull := func(v Value) bool {
		k, ok := v.Num.IsConst()
		return v.Kind == Scalar && ok && k == 0
	}
	switch {
	case a.Kind == b.Kind && a.Map == b.Map:
		a.Num = num(b.Num)
	case a.Map == b.Map && (a.Kind == MapValue && b.Kind == MapValueOrNull || a.Kind == MapValueOrNull && b.Kind == MapValue):
		a.Kind, a.ID, a.Num = MapValueOrNull, 0, num(b.Num)
	case a.Kind == MapValueOrNull && isNull(b):
		a.ID = 0
	case b.Kind == MapValueOrNull && isNull(a):
		a = b
		a.ID = 0
	default:
		return unknown
	}
	if a.ID != b.ID || a.Fix != b.Fix {
		a.ID, a.Fix = 0, 0
		if a.Kind == Packet || a.Kind == PacketMeta {
			a.ID = noPacket
		}
	}
	return a
}

// join returns what holds in both states; widen loses what keeps changing.
func (s *State) join(o *State, widen bool) *State {
	if !s.Reachable {
		return o.clone()
	}
	if !o.Reachable {
		return s.clone()
	}
	j := s.clone()
	for r := range j.Regs {
		j.Regs[r] = joinValue(s.Regs[r], o.Regs[r], widen)
	}
	for k := range j.bytes {
		a, b := s.bytes[k], o.bytes[k]
		m := a.t.m | b.t.m | (a.t.v ^ b.t.v)
		j.bytes[k].t.m, j.bytes[k].t.v = m, a.t.v&^m
		j.bytes[k].init = a.init && b.init
	}
	for at, c := range s.cells {
		d, ok := o.cells[at]
		if !ok || c.size != d.size {
			// The other path has other bytes there: a pointer in them must
			// not be forgotten, so it stays as an unknown.
			j.poison(at, c)
			continue
		}
		c.v = joinValue(c.v, d.v, widen)
		j.cells[at] = c
	}
	for at, d := range o.cells {
		// A number leaves alone what stands there of the other path's pointer.
		if c, ok := s.cells[at]; (!ok || c.size != d.size) && d.v.Kind != Scalar && d.v.Kind != Uninit {
			j.poison(at, d)
		}
	}
	for id, n := range s.proved {
		switch m := o.proved[id]; {
		case m == 0 || widen && m < n:
			delete(j.proved, id)
		default:
			j.proved[id] = min(n, m)
		}
	}
	return j
}

// poison marks the place of a cell that only one path has.
func (s *State) poison(at int, c cell) {
	delete(s.cells, at)
	if c.v.Kind == Scalar || c.v.Kind == Uninit {
		return
	}
	for o, d := range s.cells {
		if o < at+c.size && at < o+d.size {
			delete(s.cells, o)
		}
	}
	s.cells[at] = cell{8, unknown}
}

func (s *State) equal(o *State) bool {
	return s.Reachable == o.Reachable && s.Regs == o.Regs && s.bytes == o.bytes && maps.Equal(s.cells, o.cells) &&
		maps.Equal(s.proved, o.proved)
}
