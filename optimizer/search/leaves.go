package search

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/slice"
)

// leaf is a load that a replacement may use: of bytes that the term loads, too.
type leaf struct {
	op    isa.Op
	input int
	off   int64
}

func (l leaf) node() slice.Node {
	return slice.Node{Op: l.op, A: slice.None, B: slice.Input(l.input), Imm: l.off}
}

// run carries out the load on tests of its input.
func (l leaf) run(base *interp.Lanes) (out interp.Lanes) {
	var m *slice.Memory
	m.Access(l.op, l.off, base, &out)
	return out
}

// maxLeaves bounds the loads of a term.
const maxLeaves = 120

// leaves lists the loads, of every width, of the bytes that a term loads.
func leaves(t *slice.Term, mcpu int) []leaf {
	bytes, _ := t.Loads()
	starts := make([]slice.Byte, 0, len(bytes))
	for b := range bytes {
		starts = append(starts, b)
	}
	slices.SortFunc(starts, func(a, b slice.Byte) int { return cmp.Or(a.Input-b.Input, cmp.Compare(a.At, b.At)) })
	var out []leaf
	for _, w := range []uint8{64, 32, 16, 8} {
		for _, b := range starts {
			whole := b.At == int64(int16(b.At))
			for k := range int64(w / 8) {
				whole = whole && bytes[slice.Byte{Input: b.Input, At: b.At + k}]
			}
			if !whole {
				continue
			}
			for _, signed := range []bool{false, true} {
				op := isa.Load(w, signed)
				if op != 0 && int(isa.RowOf(op).MinCPU) <= mcpu && len(out) < maxLeaves {
					out = append(out, leaf{op, b.Input, b.At})
				}
			}
		}
	}
	return out
}

// memoryNear is a memory in which some of what the term loads is near what its
// immediates decide about.
func memoryNear(r *rand.Rand, t *slice.Term, near []uint64, in []interp.Lanes) *slice.Memory {
	var loads []leaf
	for i := range t.Nodes {
		if n := &t.Nodes[i]; n.IsMemory() && !t.IsStore() {
			if input, at, ok := t.Place(n.B, n.Imm); ok {
				loads = append(loads, leaf{n.Op, input, at})
			}
		}
	}
	if len(loads) == 0 {
		return nil
	}
	m := new(slice.Memory)
	for k := range interp.NumLanes {
		l := loads[r.IntN(len(loads))]
		v := draw(r, 64, r.IntN(3))
		if len(near) > 0 && r.IntN(3) > 0 {
			v = near[r.IntN(len(near))]
		}
		if r.IntN(3) > 0 {
			m.Put(k, in[l.input][k]+uint64(l.off), int(isa.RowOf(l.op).Width/8), v)
		}
	}
	return m
}

// direct makes the address of a store that is an input and a distance part of the
// store.
func direct(p *Problem) []found {
	t := &p.Term
	n := t.Nodes[t.Root]
	if n.Op == slice.Then {
		return nil
	}
	in, at, ok := t.Place(n.A, n.Imm)
	if _, already := n.A.IsInput(); already || !ok || at != int64(int16(at)) {
		return nil
	}
	var b slice.Builder
	refs := make(slice.Refs, len(t.Nodes))
	for i := range t.Nodes[:t.Root] {
		m := &t.Nodes[i]
		refs[i] = b.Add(m.Op, refs.Of(m.A), refs.Of(m.B), m.Imm)
	}
	x, from := b.Term(b.Add(n.Op, slice.Input(in), refs.Of(n.B), at))
	return []found{{renumber(x, from, t.Inputs), len(x.Nodes)}}
}
