package slice

import (
	"cmp"
	"slices"

	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Then is the operation that makes one root of two stores: what A stores, and after
// that what B does. It has no row: its opcode is that of the deleted instruction.
var Then = isa.Nop

// thenName is its name in texts.
const thenName = "then"

// Then makes a root that stores what x does and then what y does.
func (b *Builder) Then(x, y Ref) Ref { return b.intern(Node{Then, x, y, 0}) }

// Stores lists the stores of the term in order, nil if it is none.
func (t *Term) Stores() []Ref {
	var out []Ref
	var walk func(r Ref) bool
	walk = func(r Ref) bool {
		if r < 0 {
			return false
		}
		n := &t.Nodes[r]
		if n.Op == Then {
			return walk(n.A) && walk(n.B)
		}
		out = append(out, r)
		return isa.RowOf(n.Op).Kind == isa.KindStore
	}
	if !walk(t.Root) {
		return nil
	}
	return out
}

// Joint gives, for each of several stores but the one at the lowest offset, that
// offset.
func (t *Term) Joint() map[int]int64 {
	stores := t.Stores()
	if len(stores) < 2 {
		return nil
	}
	lowest := slices.MinFunc(stores, func(a, b Ref) int { return cmp.Compare(t.Nodes[a].Imm, t.Nodes[b].Imm) })
	out := map[int]int64{}
	for _, r := range stores {
		if r != lowest {
			out[int(r)] = t.Nodes[lowest].Imm
		}
	}
	return out
}

// written is a number that tells what memory holds, in a state, that the stores wrote,
// whatever their widths and, where they do not meet, their order.
func (t *Term) written(stores []Ref, at func(Ref) *interp.Lanes) (out interp.Lanes) {
	for i := range out {
		bytes := map[uint64]uint64{}
		for _, r := range stores {
			n := &t.Nodes[r]
			for k := range uint64(isa.RowOf(n.Op).Width / 8) {
				bytes[at(n.A)[i]+uint64(n.Imm)+k] = at(n.B)[i] >> (8 * k) & 0xff
			}
		}
		for addr, v := range bytes {
			out[i] += mix(mix(addr) ^ v)
		}
	}
	return out
}

// maxJoined bounds the stores of a slice, which one of 64 bits can stand for.
const maxJoined = 8

// storesBefore lists the trace positions of stores that, with the root, a store of a
// register in one block, may be made at the root: they write other bytes through the
// same base, and nothing on the way can tell. The nearest come first; cut says after
// which numbers of them the bytes of all are one run of 2, 4 or 8.
func (x *finder) storesBefore() (at []int, cut []int) {
	last := len(x.trace) - 1
	root := &x.f.Insns[x.trace[last]]
	if row := root.Row(); row.Kind != isa.KindStore || row.Width == 64 {
		return nil, nil
	}
	base := x.facts.At(x.trace[last]).Reg(root.Dst)
	if !base.Kind.IsPointer() {
		return nil, nil
	}
	mine, passed := []span{spanOf(root)}, []span(nil) // of the stores, and of loads on the way
	meets := func(list []span, a span) bool {
		return slices.ContainsFunc(list, func(b span) bool { return a.from < b.to && b.from < a.to })
	}
	for q := last - 1; q >= 0 && len(at) < maxJoined-1; q-- {
		k := x.trace[q]
		in := &x.f.Insns[k]
		row := in.Row()
		if x.g.BlockOf[k] != x.g.BlockOf[x.trace[last]] || in.Def().Has(root.Dst) || in.IsCall() || in.Ref != nil && row.Kind != isa.KindLoadImm {
			break
		}
		switch row.Kind {
		case isa.KindALU, isa.KindLoadImm, isa.KindNop:
			continue
		case isa.KindLoad, isa.KindStore:
			reg := in.Dst
			if row.Kind == isa.KindLoad {
				reg = in.Src
			}
			other := x.facts.At(k).Reg(reg)
			a, near := spanOf(in), reg == root.Dst
			if near && meets(mine, a) || !near && (!other.Kind.IsPointer() || other.Kind == base.Kind) {
				return at, cut
			}
			if near && row.Kind == isa.KindLoad {
				passed = append(passed, a)
			}
			if !near || row.Kind == isa.KindLoad {
				continue
			}
			if row.Width == 64 || meets(passed, a) {
				return at, cut
			}
			at, mine = append(at, q), append(mine, a)
			from, to, n := a.from, a.to, 0
			for _, b := range mine {
				from, to, n = min(from, b.from), max(to, b.to), n+b.to-b.from
			}
			if to-from == n && (n == 2 || n == 4 || n == 8) {
				cut = append(cut, len(at))
			}
		default:
			return at, cut
		}
	}
	return at, cut
}

// span are the offsets that a load or store covers.
type span struct{ from, to int }

func spanOf(in *prog.Insn) span {
	return span{int(in.Off), int(in.Off) + int(in.Row().Width/8)}
}
