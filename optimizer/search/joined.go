package search

import (
	"cmp"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/slice"
)

// piece is what one of several stores writes.
type piece struct {
	input int // the address is it and at
	at    int64
	width uint8
	value slice.Ref
}

// pieces lists what a term of several stores writes, by address; ok is false unless
// that is one run of 2, 4 or 8 bytes.
func pieces(t *slice.Term) (list []piece, width uint8, ok bool) {
	for _, r := range t.Stores() {
		n := &t.Nodes[r]
		in, at, ok := t.Place(n.A, n.Imm)
		if !ok {
			return nil, 0, false
		}
		list = append(list, piece{in, at, isa.RowOf(n.Op).Width, n.B})
	}
	if len(list) < 2 {
		return nil, 0, false
	}
	slices.SortFunc(list, func(a, b piece) int { return cmp.Compare(a.at, b.at) })
	next := list[0].at
	for _, p := range list {
		if p.input != list[0].input || p.at != next || p.width > 32 {
			return nil, 0, false
		}
		next += int64(p.width / 8)
	}
	n := next - list[0].at
	return list, uint8(8 * n), n == 2 || n == 4 || n == 8
}

// joined makes one store of several: of a value that has the bytes of all, in the form
// that takes the fewest operations.
func (e *Enumerator) joined(p *Problem) []found {
	t := &p.Term
	list, width, ok := pieces(t)
	if !ok || list[0].at != int64(int16(list[0].at)) {
		return nil
	}
	var b slice.Builder
	refs := make(slice.Refs, len(t.Nodes))
	for i := range t.Nodes {
		if n := &t.Nodes[i]; n.Op != slice.Then && isa.RowOf(n.Op).Kind != isa.KindStore {
			refs[i] = b.Add(n.Op, refs.Of(n.A), refs.Of(n.B), n.Imm)
		}
	}
	sum, konst := slice.None, uint64(0)
	for _, x := range list {
		shift, mask := 8*(x.at-list[0].at), uint64(1)<<x.width-1
		if x.value >= 0 && t.Nodes[x.value].Op == isa.LoadImm {
			konst |= uint64(t.Nodes[x.value].Imm) & mask << shift
			continue
		}
		v := refs.Of(x.value)
		switch {
		case shift+int64(x.width) == int64(width): // nobody looks at what is above
		case x.width == 32:
			v = b.Add(isa.ALU(isa.FnMov, 32, false), slice.None, v, 0)
		default:
			v = b.Add(isa.ALU(isa.FnAnd, 64, true), v, slice.None, int64(mask))
		}
		if shift > 0 {
			v = b.Add(isa.ALU(isa.FnLsh, 64, true), v, slice.None, shift)
		}
		if sum == slice.None {
			sum = v
		} else {
			sum = b.Add(isa.ALU(isa.FnOr, 64, false), sum, v, 0)
		}
	}
	if width == 32 {
		konst = uint64(int64(int32(konst))) // a store holds it so
	}
	switch {
	case sum == slice.None:
		sum = b.Const(int64(konst))
	case konst != 0:
		sum = b.Add(isa.ALU(isa.FnOr, 64, false), sum, b.Const(int64(konst)), 0)
	}
	x, from := b.Term(sum)
	q := &Problem{Term: x, Mask: ^uint64(0) >> (64 - width), Slots: p.Slots - 1}
	for _, i := range from {
		q.Facts = append(q.Facts, p.Facts[i])
	}
	var out []found
	for _, v := range append(e.Shorter(q), x) {
		if len(v.Nodes) > q.Slots {
			continue
		}
		out = append(out, storeOf(&v, from, list[0], width, t.Inputs))
	}
	slices.SortStableFunc(out, func(a, b found) int { return a.cost - b.cost })
	return out
}

// storeOf is the term that stores v, whose inputs are those of from, where to says.
func storeOf(v *slice.Term, from []int, to piece, width uint8, inputs int) found {
	var b slice.Builder
	refs := make([]slice.Ref, len(v.Nodes))
	ref := func(r slice.Ref) slice.Ref {
		if i, ok := r.IsInput(); ok {
			return slice.Input(from[i])
		}
		if r == slice.None {
			return r
		}
		return refs[r]
	}
	for i := range v.Nodes {
		n := &v.Nodes[i]
		refs[i] = b.Add(n.Op, ref(n.A), ref(n.B), n.Imm)
	}
	x, used := b.Term(b.Add(isa.Store(width, false), slice.Input(to.input), ref(v.Root), to.at))
	return found{renumber(x, used, inputs), len(x.Nodes)}
}

// halved makes two stores of one whose constant takes two slots.
func halved(p *Problem) []found {
	t := &p.Term
	n := t.Nodes[t.Root]
	if n.Op != isa.Store(64, false) || n.B < 0 || t.Nodes[n.B].Op != isa.LoadImm {
		return nil
	}
	v := t.Nodes[n.B].Imm
	in, at, ok := t.Place(n.A, n.Imm)
	if !ok || v == int64(int32(v)) || at != int64(int16(at)) || at+4 != int64(int16(at+4)) {
		return nil
	}
	var b slice.Builder
	store := func(x, off int64) slice.Ref {
		return b.Add(isa.Store(32, false), slice.Input(in), b.Const(int64(int32(x))), off)
	}
	x, used := b.Term(b.Then(store(v, at), store(v>>32, at+4)))
	return []found{{renumber(x, used, t.Inputs), 2}}
}
