package prog

import (
	"bytes"
	"slices"
)

// SameRef reports whether two symbolic operands, possibly of different
// objects, name the same thing.
func SameRef(a, b *Ref) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil || a.Kind != b.Kind || a.Name != b.Name || a.Off != b.Off || a.Loose != b.Loose {
		return false
	}
	if a.Kind == RefOpaque && a.Name == "" {
		return false // a section's symbol: the name does not say which
	}
	if (a.Map == nil) != (b.Map == nil) {
		return false
	}
	return a.Map == nil || sameMap(a.Map, b.Map)
}

func sameMap(a, b *Map) bool {
	if (a.Inner == nil) != (b.Inner == nil) || a.Inner != nil && !sameMap(a.Inner, b.Inner) {
		return false
	}
	return a.Name == b.Name && a.Type == b.Type && a.KeySize == b.KeySize && a.ValueSize == b.ValueSize &&
		a.MaxEntries == b.MaxEntries && a.Flags == b.Flags && a.ReadOnly == b.ReadOnly && bytes.Equal(a.Data, b.Data)
}

// SameCodeRefs is SameCode for functions of different objects: symbolic
// operands are compared by what they name.
func SameCodeRefs(a, b *Func) bool {
	return slices.EqualFunc(a.Insns, b.Insns, func(x, y Insn) bool {
		return x.Insn == y.Insn && x.Target == y.Target && SameRef(x.Ref, y.Ref)
	})
}

// AdoptRefs returns g with every symbolic operand that f names too, or else one of
// more does, replaced by that one's own, so that the two can be compared by pointer.
func AdoptRefs(f, g *Func, more ...*Func) *Func {
	h := g.Clone()
	adopt := func(in *Insn, from *Func) bool {
		for j := range from.Insns {
			if r := from.Insns[j].Ref; r != nil && SameRef(r, in.Ref) {
				in.Ref = r
				return true
			}
		}
		return false
	}
	for k := range h.Insns {
		in := &h.Insns[k]
		if in.Ref == nil || adopt(in, f) {
			continue
		}
		for _, x := range more {
			if adopt(in, x) {
				break
			}
		}
	}
	return h
}
