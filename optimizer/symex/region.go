package symex

import (
	"strings"

	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// RegionKind is a kind of memory.
type RegionKind uint8

// The kinds of memory.
const (
	Scalar RegionKind = iota // not known to be a pointer; as an address: anywhere but the stack
	Stack
	Context
	Packet
	MapValue
	MapPtr
	Record // memory that a helper set aside for the program, until it gives it back
	Any    // may point anywhere, the stack included
)

// Region is what a pointer points into. A MapValue without a Map is the value
// of one of several maps.
type Region struct {
	Kind RegionKind
	Map  *prog.Map
}

// class is the name of the memory class that a region belongs to.
func (r Region) class() string {
	switch r.Kind {
	case Context:
		return "ctx"
	case Packet:
		return "pkt"
	case Record:
		return "rec"
	case MapValue:
		if r.Map != nil {
			return "map:" + r.Map.Name
		}
	}
	return ""
}

// someMap: a value of a map, but not known of which. So neither packet nor
// context.
func (r Region) someMap() bool { return r.Kind == MapValue && r.Map == nil }

// shared: what others see as well, or may see for all that is known.
func (r Region) shared() bool { return r.Kind == MapValue || r.Kind == Scalar }

// private names the classes that no map value lies in.
func private(class string) bool {
	return class == "pkt" || class == "ctx" || class == scratch || class == hash || class == "rec"
}

// keepPrivate makes all memory new but those classes.
func keepPrivate() map[string]bool {
	return map[string]bool{"ctx": true, scratch: true, hash: true, "pkt": true, "rec": true}
}

// Coarse makes memory outside the frame coarser, for measuring what telling its
// parts apart is worth. Proofs stay right; there are fewer of them.
type Coarse struct {
	Offsets bool // of a write, only what it made of a class is known: none is read back
	Maps    bool // the values of all maps are one class
	Types   bool // all is one class
}

// of is the region that is left of r.
func (c Coarse) of(r Region) Region {
	switch {
	case r.Kind == Stack || r.Kind == Any:
	case c.Types:
		return Region{}
	case c.Maps && r.Kind == MapValue:
		return Region{Kind: MapValue}
	}
	return r
}

// RegionOf tells what the address t points into. A sum points where its only
// pointer does. Where a pointer into the frame cannot be ruled out the answer
// is Any.
func (e *Engine) RegionOf(t smt.Term) Region {
	r := e.regionOf(t)
	e.write(event{kind: asked, term: t, region: r})
	return r
}

func (e *Engine) regionOf(t smt.Term) Region {
	if r, ok := e.regions[t]; ok {
		return r
	}
	n := e.C.Node(t)
	switch n.Op {
	case smt.OpSum:
		var found Region
		many, frame := false, false
		for i, a := range n.Args {
			r := e.regionOf(a)
			if r.Kind == Scalar {
				continue
			}
			many = many || found.Kind != Scalar || n.Coef[i] != 1
			frame = frame || r.framed()
			found = r
		}
		switch {
		case !many:
			return found
		case frame: // pointer arithmetic that is not base plus offset
			return Region{Kind: Any}
		}
	case smt.OpIte:
		a, b := e.regionOf(n.Args[1]), e.regionOf(n.Args[2])
		switch {
		case a == b:
			return a
		case a.framed() || b.framed():
			return Region{Kind: Any}
		}
	case smt.OpConcat:
		if n.Width == 64 && e.mayBeFrame(t) {
			return Region{Kind: Any}
		}
	}
	return Region{}
}

// framed: a pointer into the frame is possible.
func (r Region) framed() bool { return r.Kind == Stack || r.Kind == Any }

// mayBeFrame reports whether a value put together from pieces may be an address
// of the frame, which was stored there and loaded again. A constant high piece
// rules that out (an address of the kernel starts with ones, a constant in a
// program that has them is none), and so does a byte of other memory or one that
// a helper wrote: the verifier lets no address of a frame out of the frames.
func (e *Engine) mayBeFrame(t smt.Term) bool {
	n := e.C.Node(t)
	if _, ok := e.C.IsConst(n.Args[0]); ok {
		return false
	}
	for {
		piece := t
		if n.Op == smt.OpConcat {
			piece = n.Args[0]
		}
		x := e.C.Node(piece)
		if x.Op == smt.OpUF && (x.Name == "load" || x.Name == "old" || strings.HasPrefix(x.Name, "out")) {
			return false
		}
		if n.Op != smt.OpConcat {
			return true
		}
		t = n.Args[1]
		n = e.C.Node(t)
	}
}
