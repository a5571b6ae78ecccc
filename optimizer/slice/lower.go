package slice

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Lower turns t, a term over the site's inputs, into instructions that may
// stand in place of the root when the removed ones are gone. It returns the
// fewest slots that it finds, or nil when registers do not suffice.
func (s *Site) Lower(t *Term, mcpu int) []isa.Insn {
	l := &lowering{s: s, t: t, mcpu: mcpu, best: s.Slots + 1}
	l.last = make([]int, len(t.Nodes)+t.Inputs)
	for i := range l.last {
		l.last[i] = -1
	}
	for i, n := range t.Nodes {
		for _, r := range []Ref{n.A, n.B} {
			if r != None {
				l.last[l.value(r)] = i
			}
		}
	}
	l.last[l.value(t.Root)] = len(t.Nodes)
	at := make([]isa.Reg, len(l.last))
	var busy isa.RegSet
	for i := range t.Inputs {
		at[len(t.Nodes)+i] = s.In[i]
		if l.last[len(t.Nodes)+i] >= 0 {
			busy = busy.With(s.In[i])
		}
	}
	l.place(0, at, busy, nil, 0)
	return l.code
}

// maxTries bounds the choices of registers that are looked at for one term.
const maxTries = 20_000

type lowering struct {
	s     *Site
	t     *Term
	mcpu  int
	last  []int // the node that reads a value last, by value
	best  int
	tries int
	code  []isa.Insn
}

// value numbers nodes and then inputs.
func (l *lowering) value(r Ref) int {
	if i, ok := r.IsInput(); ok {
		return len(l.t.Nodes) + i
	}
	return int(r)
}

// place chooses the register of node i and of those after it.
func (l *lowering) place(i int, at []isa.Reg, busy isa.RegSet, code []isa.Insn, slots int) {
	if l.tries++; slots >= l.best || l.tries > maxTries {
		return
	}
	if i == len(l.t.Nodes) {
		if l.t.valued() {
			if r := at[l.value(l.t.Root)]; r != l.s.Dst {
				code = append(code, move(l.s.Dst, r))
				slots++
			}
		}
		if slots < l.best {
			l.best, l.code = slots, slices.Clone(code)
			if l.code == nil {
				l.code = []isa.Insn{}
			}
		}
		return
	}
	n := &l.t.Nodes[i]
	row := isa.RowOf(n.Op)
	reg := func(r Ref) isa.Reg {
		if r == None {
			return 0
		}
		return at[l.value(r)]
	}
	if row.Kind == isa.KindCondJump {
		l.place(i+1, at, busy, append(slices.Clip(code), isa.Insn{Op: n.Op, Dst: reg(n.A), Src: reg(n.B), Imm: n.Imm}), slots+1)
		return
	}
	if n.Op == Then {
		l.place(i+1, at, busy, code, slots)
		return
	}
	if row.Kind == isa.KindStore {
		l.place(i+1, at, busy, append(slices.Clip(code), l.store(n, row, reg)), slots+1)
		return
	}
	if l.inline(i) {
		l.place(i+1, at, busy, code, slots)
		return
	}
	after := busy
	for _, r := range []Ref{n.A, n.B} {
		if r != None && l.last[l.value(r)] == i {
			after = after.Without(reg(r))
		}
	}
	for _, d := range l.targets(after, busy&^after) {
		next := slices.Clone(at)
		next[i] = d
		emit := func(ins ...isa.Insn) {
			sum := slots
			for _, in := range ins {
				sum += in.Slots()
			}
			l.place(i+1, next, after.With(d), append(slices.Clip(code), ins...), sum)
		}
		switch {
		case n.Op == isa.LoadImm:
			emit(Constant(d, uint64(n.Imm), l.mcpu))
		case n.A == None:
			emit(isa.Insn{Op: n.Op, Dst: d, Src: reg(n.B), Off: int16(n.Imm)})
		default:
			a, b := reg(n.A), reg(n.B)
			op := isa.Insn{Op: n.Op, Dst: d, Src: b, Imm: n.Imm}
			if n.B == None {
				op.Src = 0
			}
			switch {
			case d == a:
				emit(op)
			case n.B != None && d == b && Commutes(row):
				op.Src = a
				emit(op)
			case n.B != None && d == b:
				// the move would destroy the other operand
			default:
				emit(move(d, a), op)
			}
		}
	}
}

// inline: node i is a constant that the stores which use it hold themselves.
func (l *lowering) inline(i int) bool {
	n := &l.t.Nodes[i]
	if n.Op != isa.LoadImm || n.Imm != int64(int32(n.Imm)) || int(l.t.Root) == i {
		return false
	}
	for k := range l.t.Nodes {
		m := &l.t.Nodes[k]
		if m.A == Ref(i) || m.B == Ref(i) && isa.RowOf(m.Op).Kind != isa.KindStore {
			return false
		}
	}
	return true
}

// store is the instruction of a store.
func (l *lowering) store(n *Node, row *isa.Row, reg func(Ref) isa.Reg) isa.Insn {
	if n.B >= 0 && l.inline(int(n.B)) {
		return isa.Insn{Op: isa.Store(row.Width, true), Dst: reg(n.A), Off: int16(n.Imm), Imm: l.t.Nodes[n.B].Imm}
	}
	return isa.Insn{Op: n.Op, Dst: reg(n.A), Src: reg(n.B), Off: int16(n.Imm)}
}

// targets lists registers that may take a new value: where it is wanted, where
// an operand ends, and one fresh.
func (l *lowering) targets(busy, ended isa.RegSet) []isa.Reg {
	var out []isa.Reg
	free := l.s.Free &^ busy
	if l.t.valued() && free.Has(l.s.Dst) {
		out = append(out, l.s.Dst)
	}
	fresh := false
	for r := isa.R0; r < isa.FP; r++ {
		if !free.Has(r) || slices.Contains(out, r) {
			continue
		}
		if ended.Has(r) {
			out = append(out, r)
		} else if !fresh {
			fresh = true
			out = append(out, r)
		}
	}
	return out
}

func move(d, s isa.Reg) isa.Insn {
	return isa.Insn{Op: isa.ALU(isa.FnMov, 64, false), Dst: d, Src: s}
}

// Constant is the shortest instruction that sets d to v.
func Constant(d isa.Reg, v uint64, mcpu int) isa.Insn {
	switch {
	case int64(v) == int64(int32(v)):
		return isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: d, Imm: int64(v)}
	case v>>32 == 0 && mcpu >= 3:
		return isa.Insn{Op: isa.ALU(isa.FnMov, 32, true), Dst: d, Imm: int64(int32(v))}
	}
	return isa.Insn{Op: isa.LoadImm, Dst: d, Imm: int64(v)}
}

// Slots is the size of code.
func Slots(code []isa.Insn) int {
	n := 0
	for _, in := range code {
		n += in.Slots()
	}
	return n
}

// Edit is code for a site.
type Edit struct {
	Site *Site
	Code []isa.Insn
}

// Apply makes all edits at once; their spans must not meet.
func Apply(f *prog.Func, edits []Edit) (*prog.Func, error) {
	g := f.Clone()
	for _, e := range edits {
		for _, k := range e.Site.Removed {
			g.Insns[k] = prog.New(isa.Insn{Op: isa.Nop})
		}
	}
	edits = slices.Clone(edits)
	slices.SortFunc(edits, func(a, b Edit) int { return b.Site.Root - a.Site.Root })
	for _, e := range edits {
		root := f.Insns[e.Site.Root]
		var repl []prog.Insn
		for _, in := range e.Code {
			p := prog.New(in)
			p.Origin = root.Origin
			if p.IsJump() {
				p.Target = g.Insns[e.Site.Root].Target
			}
			repl = append(repl, p)
		}
		if err := g.Splice(e.Site.Root, e.Site.Root+1, repl); err != nil {
			return nil, err
		}
	}
	return g, nil
}
