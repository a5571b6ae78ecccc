package slice

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
)

// Ref is an operand of a node: the index of another node, or, below zero, input
// -1-Ref.
type Ref int16

// None is the operand that a node does not have.
const None Ref = -1 << 15

// Input makes the Ref of input i.
func Input(i int) Ref { return Ref(-1 - i) }

// IsInput tells whether r is an input, and which.
func (r Ref) IsInput() (int, bool) { return int(-1 - r), r < 0 && r != None }

// Node is an operation. A constant is a node of isa.LoadImm, whatever
// instruction makes it.
type Node struct {
	Op   isa.Op
	A, B Ref   // destination and source operand
	Imm  int64 // or offset, see IsMemory
}

// Term is a computation of one value, of a branch condition when the root is
// a comparison, or of stores. Nodes come after their operands.
type Term struct {
	Inputs int
	Nodes  []Node
	Root   Ref
}

// Reads tells which operands a row has.
func Reads(row *isa.Row) (a, b bool) {
	switch row.Kind {
	case isa.KindALU:
		return row.ReadsDst, row.ReadsSrc
	case isa.KindCondJump:
		return true, !row.Imm
	case isa.KindLoad:
		return false, true
	case isa.KindStore:
		return true, !row.Imm
	}
	return false, false
}

// Commutes reports whether the operands of a row may change places.
func Commutes(row *isa.Row) bool {
	if row.Imm {
		return false
	}
	switch row.Fn {
	case isa.FnAdd, isa.FnMul, isa.FnOr, isa.FnAnd, isa.FnXor:
		return row.Kind == isa.KindALU
	case isa.FnJeq, isa.FnJne, isa.FnJset:
		return true
	}
	return false
}

// IsBranch reports whether the term is a condition.
func (t *Term) IsBranch() bool {
	return t.Root >= 0 && t.Nodes[t.Root].Op != 0 && isa.RowOf(t.Nodes[t.Root].Op).Kind == isa.KindCondJump
}

// Builder makes terms; equal nodes become one.
type Builder struct {
	nodes []Node
	known map[Node]Ref
}

// Const is a constant.
func (b *Builder) Const(v int64) Ref { return b.intern(Node{isa.LoadImm, None, None, v}) }

func (b *Builder) intern(n Node) Ref {
	if r, ok := b.known[n]; ok {
		return r
	}
	if b.known == nil {
		b.known = map[Node]Ref{}
	}
	b.nodes = append(b.nodes, n)
	r := Ref(len(b.nodes) - 1)
	b.known[n] = r
	return r
}

func (b *Builder) isConst(r Ref) (int64, bool) {
	if r >= 0 && b.nodes[r].Op == isa.LoadImm {
		return b.nodes[r].Imm, true
	}
	return 0, false
}

// Add makes an operation of its row; operands that the row does not read are
// left out.
func (b *Builder) Add(op isa.Op, x, y Ref, imm int64) Ref {
	row := isa.RowOf(op)
	readsA, readsB := Reads(row)
	if !readsA {
		x = None
	}
	if !readsB {
		y = None
	}
	if isMemory(row) {
		if row.Kind == isa.KindStore && row.Width <= 32 {
			y = b.whole(y)
		}
		return b.intern(Node{op, x, y, imm})
	}
	if !row.Imm || row.Fn == isa.FnNeg {
		imm = 0
	}
	switch {
	case op == isa.LoadImm:
		return b.Const(imm)
	case row.Fn == isa.FnMov && row.Kind == isa.KindALU && row.Imm && row.Width == 64:
		return b.Const(imm)
	case row.Fn == isa.FnMov && row.Kind == isa.KindALU && row.Imm:
		return b.Const(int64(uint32(imm)))
	case row.Fn == isa.FnMov && row.Kind == isa.KindALU && row.Width == 64:
		return y
	}
	if row.Width == 32 || row.Bits != 0 && row.Bits <= 32 {
		x, y = b.whole(x), b.whole(y) // it reads lower halves only
	}
	if row.Kind == isa.KindALU && row.Fn == isa.FnMov && row.Width == 32 && y >= 0 {
		if r := isa.RowOf(b.nodes[y].Op); r.Kind == isa.KindALU && r.Width == 32 {
			return y // the upper half is zero already
		}
	}
	if readsB {
		if v, ok := b.isConst(y); ok {
			if o := immediateForm(row); o != 0 && (v == int64(int32(v)) || row.Width == 32) {
				return b.Add(o, x, None, int64(int32(v)))
			}
		}
		if v, ok := b.isConst(x); ok && Commutes(row) {
			if o := immediateForm(row); o != 0 && (v == int64(int32(v)) || row.Width == 32) {
				return b.Add(o, y, None, int64(int32(v)))
			}
		}
	}
	if row.Kind == isa.KindALU && row.Fn == isa.FnSub && row.Imm && imm != -1<<31 {
		return b.Add(isa.ALU(isa.FnAdd, row.Width, true), x, None, -imm)
	}
	if row.Imm && row.Width == 32 {
		imm = int64(int32(imm))
	}
	return b.intern(Node{op, x, y, imm})
}

// whole is what a copy of a lower half was made of.
func (b *Builder) whole(r Ref) Ref {
	if r >= 0 && b.nodes[r].Op == isa.ALU(isa.FnMov, 32, false) {
		return b.nodes[r].B
	}
	return r
}

func immediateForm(row *isa.Row) isa.Op {
	if row.Kind == isa.KindCondJump {
		return isa.CondJump(row.Fn, row.Width, true)
	}
	return isa.ALU(row.Fn, row.Width, true)
}

// Term gives the canonical term of root, and which of the builder's inputs
// became input i.
func (b *Builder) Term(root Ref) (Term, []int) {
	shape := make([]string, len(b.nodes))
	for i, n := range b.nodes {
		s := func(r Ref) string {
			if r < 0 {
				return "?"
			}
			return shape[r]
		}
		x, y := s(n.A), s(n.B)
		if Commutes(isa.RowOf(n.Op)) && y < x {
			b.nodes[i].A, b.nodes[i].B = n.B, n.A
			x, y = y, x
		}
		shape[i] = fmt.Sprintf("(%d %s %s)", n.Op, x, y)
	}
	var t Term
	var from []int
	at := map[Ref]Ref{None: None}
	var visit func(r Ref) Ref
	visit = func(r Ref) Ref {
		if to, ok := at[r]; ok {
			return to
		}
		if i, ok := r.IsInput(); ok {
			from = append(from, i)
			at[r] = Input(t.Inputs)
			t.Inputs++
			return at[r]
		}
		n := b.nodes[r]
		n.A = visit(n.A)
		n.B = visit(n.B)
		t.Nodes = append(t.Nodes, n)
		at[r] = Ref(len(t.Nodes) - 1)
		return at[r]
	}
	t.Root = visit(root)
	return t, from
}

// Refs says what the nodes of a term are in another one.
type Refs []Ref

// Of is what r is in the other term: an input, or none, is that there, too.
func (n Refs) Of(r Ref) Ref {
	if r < 0 {
		return r
	}
	return n[r]
}

// Canonical is t in canonical form, and which input of t its inputs were.
func (t *Term) Canonical() (Term, []int) {
	var b Builder
	at := make(Refs, len(t.Nodes))
	for i, n := range t.Nodes {
		if n.Op == Then {
			at[i] = b.Then(at.Of(n.A), at.Of(n.B))
			continue
		}
		at[i] = b.Add(n.Op, at.Of(n.A), at.Of(n.B), n.Imm)
	}
	return b.Term(at.Of(t.Root))
}

// Key identifies the term; with imms false, its form without immediates.
func (t *Term) Key(imms bool) string {
	var b []byte
	b = binary.AppendVarint(b, int64(t.Inputs))
	b = binary.AppendVarint(b, int64(t.Root))
	for _, n := range t.Nodes {
		b = binary.AppendUvarint(b, uint64(n.Op))
		b = binary.AppendVarint(b, int64(n.A))
		b = binary.AppendVarint(b, int64(n.B))
		if imms {
			b = binary.AppendVarint(b, n.Imm)
		}
	}
	return string(b)
}

// Immediates lists the term's distinct immediates in increasing order, without
// offsets.
func (t *Term) Immediates() []int64 {
	var out []int64
	for _, n := range t.Nodes {
		if row := isa.RowOf(n.Op); row.Imm && row.Fn != isa.FnNeg {
			out = append(out, n.Imm)
		}
	}
	slices.SortFunc(out, cmp.Compare[int64])
	return slices.Compact(out)
}

// HasImm reports whether the node has an immediate.
func (n *Node) HasImm() bool {
	row := isa.RowOf(n.Op)
	return row.Imm && row.Fn != isa.FnNeg || isMemory(row)
}

// Run evaluates the term on many states at once. scratch holds at least as many
// lanes as there are nodes; the result stays valid until it is used again.
func (t *Term) Run(in []interp.Lanes, m *Memory, scratch []interp.Lanes) *interp.Lanes {
	var none interp.Lanes
	at := func(r Ref) *interp.Lanes {
		if r == None {
			return &none
		}
		if i, ok := r.IsInput(); ok {
			return &in[i]
		}
		return &scratch[r]
	}
	for i := range t.Nodes {
		n := &t.Nodes[i]
		if isa.RowOf(n.Op).Kind == isa.KindStore || n.Op == Then {
			continue
		}
		if !interp.Lockstep(n.Op, uint64(n.Imm), at(n.A), at(n.B), &scratch[i]) {
			m.Access(n.Op, n.Imm, at(n.B), &scratch[i])
		}
	}
	if t.IsStore() {
		scratch[t.Root] = t.written(t.Stores(), at)
	}
	return at(t.Root)
}

// MinCPU is the -mcpu level that the term's operations need.
func (t *Term) MinCPU() int {
	m := 1
	for _, n := range t.Nodes {
		if n.Op != isa.LoadImm && n.Op != Then {
			m = max(m, int(isa.RowOf(n.Op).MinCPU))
		}
	}
	return m
}

// String writes the term as nested operations by the names of their rows;
// inputs are letters. imm renders the immediate of node i; nil for the number.
func (t *Term) String() string { return t.Text(nil) }

// Text is String with immediates rendered by imm where it is not nil.
func (t *Term) Text(imm func(i int) string) string {
	number := func(i int) string {
		if imm != nil {
			return imm(i)
		}
		return fmt.Sprint(t.Nodes[i].Imm)
	}
	var write func(r Ref) string
	write = func(r Ref) string {
		if i, ok := r.IsInput(); ok {
			return string(rune('a' + i))
		}
		n := &t.Nodes[r]
		if n.Op == isa.LoadImm {
			return number(int(r))
		}
		var args []string
		for _, x := range []Ref{n.A, n.B} {
			if x != None {
				args = append(args, write(x))
			}
		}
		if n.HasImm() {
			args = append(args, number(int(r)))
		}
		if n.Op == Then {
			return thenName + "(" + strings.Join(args, ", ") + ")"
		}
		return isa.RowOf(n.Op).Name + "(" + strings.Join(args, ", ") + ")"
	}
	return write(t.Root)
}
