package search

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/slice"
)

var comparisons = []isa.Fn{isa.FnJeq, isa.FnJne, isa.FnJgt, isa.FnJge, isa.FnJlt, isa.FnJle, isa.FnJsgt, isa.FnJsge, isa.FnJslt, isa.FnJsle, isa.FnJset}

// operand is a candidate for one side of a comparison, on all tests.
type operand struct {
	term  slice.Term
	value []interp.Lanes
	cost  int
}

// branch looks for shorter conditions: comparisons of values that few
// operations make, with immediates derived from where the condition changes.
func (e *Enumerator) branch(p *Problem) []slice.Term {
	t := newTester(p)
	trues, lanes := 0, 0
	for _, w := range t.want {
		for _, x := range w {
			trues += int(x)
			lanes++
		}
	}
	if trues == 0 || trues == lanes {
		return nil // the tests do not tell
	}
	ops := e.operands(p, t, min(p.Slots-2, 2))
	var inputs []operand // what may be compared with, for nothing
	for _, o := range ops {
		if o.cost == 0 {
			inputs = append(inputs, o)
		}
	}
	imms := related(p.Term.Immediates())
	imms = append(imms, 0)
	var list []found
	for _, o := range ops {
		if len(list) >= maxTries {
			break
		}
		for _, w := range []uint8{64, 32} {
			for _, fn := range comparisons {
				op := isa.CondJump(fn, w, true)
				if int(isa.RowOf(op).MinCPU) > e.MCPU {
					continue
				}
				for _, c := range e.limits(o, t, fn, w, imms) {
					if e.same(op, uint64(c), &o, &o, t) {
						list = append(list, compare(op, c, &o, nil))
					}
				}
				reg := isa.CondJump(fn, w, false)
				for i := range inputs {
					if o.cost <= p.Slots-2 && e.same(reg, 0, &o, &inputs[i], t) {
						list = append(list, compare(reg, 0, &o, &inputs[i]))
					}
				}
			}
		}
	}
	for i := range list {
		list[i].term = renumber(list[i].term, identity(p.Term.Inputs), p.Term.Inputs)
	}
	slices.SortStableFunc(list, func(a, b found) int { return a.cost - b.cost })
	return e.keep(p, list)
}

func identity(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func compare(op isa.Op, imm int64, a, b *operand) found {
	t := slice.Term{Inputs: a.term.Inputs, Nodes: slices.Clone(a.term.Nodes)}
	n := slice.Node{Op: op, A: a.term.Root, B: slice.None, Imm: imm}
	cost := a.cost + 1
	if b != nil {
		n.B = b.term.Root // of no cost: an input
		cost += b.cost
	}
	t.Nodes = append(t.Nodes, n)
	t.Root = slice.Ref(len(t.Nodes) - 1)
	return found{t, cost}
}

// operands are the inputs that are no pointers and, if depth is one, what one
// operation makes of them and what is loaded; if it is two, also what one operation
// makes of what is loaded.
func (e *Enumerator) operands(p *Problem, t *tester, depth int) []operand {
	var out []operand
	for i := range p.Term.Inputs {
		if p.Facts[i].Pointer {
			continue
		}
		o := operand{term: slice.Term{Inputs: p.Term.Inputs, Root: slice.Input(i)}}
		for _, in := range t.in {
			o.value = append(o.value, in[i])
		}
		out = append(out, o)
	}
	if depth < 1 {
		return out
	}
	seen := map[interp.Lanes]bool{}
	add := func(ns ...slice.Node) {
		o := operand{term: slice.Term{Inputs: p.Term.Inputs, Nodes: ns, Root: slice.Ref(len(ns) - 1)}, cost: len(ns)}
		e.Steps += int64(len(t.in))
		first := o.term.Run(t.in[0], t.memory[0], t.scratch)
		if seen[*first] {
			return
		}
		seen[*first] = true
		for k, in := range t.in {
			o.value = append(o.value, *o.term.Run(in, t.memory[k], t.scratch))
		}
		out = append(out, o)
	}
	ops := unary(e.MCPU, full, related(p.Term.Immediates()))
	on := func(u *entry, r slice.Ref) slice.Node {
		if readsA, readsB := slice.Reads(isa.RowOf(u.op)); !readsA && readsB {
			return slice.Node{Op: u.op, A: slice.None, B: r, Imm: int64(u.imm)}
		}
		return slice.Node{Op: u.op, A: r, B: slice.None, Imm: int64(u.imm)}
	}
	loads := leaves(&p.Term, e.MCPU)
	for _, l := range loads {
		add(l.node())
	}
	if depth > 1 {
		for _, l := range loads {
			for i := range ops {
				add(l.node(), on(&ops[i], 0))
			}
		}
	}
	for i := range p.Term.Inputs {
		if p.Facts[i].Pointer {
			continue
		}
		for k := range ops {
			add(on(&ops[k], slice.Input(i)))
		}
		for j := range p.Term.Inputs {
			if p.Facts[j].Pointer {
				continue
			}
			for _, op := range joining(e.MCPU) {
				if i < j || i > j && !slice.Commutes(isa.RowOf(op)) {
					add(slice.Node{Op: op, A: slice.Input(i), B: slice.Input(j)})
				}
			}
		}
	}
	return out
}

// limits are the immediates with which a comparison of o may hold where the
// condition does: the window's own and, for orders, the outermost values.
func (e *Enumerator) limits(o operand, t *tester, fn isa.Fn, w uint8, imms []int64) []int64 {
	out := slices.Clone(imms)
	key := func(x uint64) int64 {
		if w == 32 {
			x = uint64(int64(int32(x)))
		}
		return int64(x)
	}
	switch fn {
	case isa.FnJeq, isa.FnJne:
		// Where it is equal, the operand has one value.
		hold := b2u(fn == isa.FnJeq)
		for k := range t.want {
			for i, x := range t.want[k] {
				if x == hold {
					c := key(o.value[k][i])
					if c == int64(int32(c)) {
						return append(out, c)
					}
					return nil
				}
			}
		}
	case isa.FnJset:
		return out
	default:
		if c, ok := border(&o, t, fn, w); ok {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// border is the outermost value on the side of an order that has an end: the
// largest operand for which x > c does not hold, for instance.
func border(o *operand, t *tester, fn isa.Fn, w uint8) (int64, bool) {
	isSigned := fn == isa.FnJsgt || fn == isa.FnJsge || fn == isa.FnJslt || fn == isa.FnJsle
	strict := fn == isa.FnJgt || fn == isa.FnJlt || fn == isa.FnJsgt || fn == isa.FnJslt
	most := fn == isa.FnJgt || fn == isa.FnJsgt || fn == isa.FnJle || fn == isa.FnJsle
	best, any := uint64(0), false
	for k := range t.want {
		for i, hold := range t.want[k] {
			if (hold == 1) == strict {
				continue
			}
			x := low(o.value[k][i], w)
			a, b := x, best
			if isSigned { // as unsigned numbers in the same order
				a, b = uint64(signed(a, w))^1<<63, uint64(signed(b, w))^1<<63
			}
			if !any || most && a > b || !most && a < b {
				best, any = x, true
			}
		}
	}
	c := signed(best, w)
	return c, any && c == int64(int32(c))
}

// same: the comparison holds where the problem's condition does.
func (e *Enumerator) same(op isa.Op, imm uint64, a, b *operand, t *tester) bool {
	var out interp.Lanes
	e.Steps++
	for k := range t.want {
		interp.Lockstep(op, imm, &a.value[k], &b.value[k], &out)
		if out != t.want[k] {
			return false
		}
	}
	return true
}
