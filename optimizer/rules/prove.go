package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/slice"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

func isShift(row *isa.Row) bool {
	return row.Kind == isa.KindALU && (row.Fn == isa.FnLsh || row.Fn == isa.FnRsh || row.Fn == isa.FnArsh)
}

// encodable: the instruction set can hold x in n's immediate.
func encodable(n *slice.Node, x int64) bool {
	row := isa.RowOf(n.Op)
	switch {
	case n.Op == isa.LoadImm:
		return true
	case isShift(row):
		return x >= 0 && x < int64(row.Width)
	case n.IsMemory():
		return x == int64(int16(x))
	}
	return x == int64(int32(x))
}

// effect is what a side of a rule computes, or the bytes that it stores, in order.
type effect struct {
	value       smt.Term
	addr, bytes []smt.Term
}

// memory holds the bytes of memory before the rule's stores: loads see no others.
// Nothing is known of them but that equal addresses have equal bytes.
type memory struct {
	c           *smt.Ctx
	addr, bytes []smt.Term
}

func (m *memory) byte(addr smt.Term) smt.Term {
	if i := slices.Index(m.addr, addr); i >= 0 {
		return m.bytes[i]
	}
	v := m.c.Var(fmt.Sprintf("byte%d", len(m.addr)), 8)
	m.addr, m.bytes = append(m.addr, addr), append(m.bytes, v)
	return v
}

// claims says that bytes at equal addresses are equal.
func (m *memory) claims() (out []smt.Term) {
	for i := range m.addr {
		for j := range i {
			out = append(out, m.c.Or(m.c.Ne(m.addr[i], m.addr[j]), m.c.Eq(m.bytes[i], m.bytes[j])))
		}
	}
	return out
}

// after is the byte at an address when the stores are made.
func (m *memory) after(e *effect, addr smt.Term) smt.Term {
	v := m.byte(addr)
	for i := range e.addr {
		v = m.c.Ite(m.c.Eq(addr, e.addr[i]), e.bytes[i], v)
	}
	return v
}

// store adds a store.
func (e *effect) store(c *smt.Ctx, row *isa.Row, addr, value smt.Term) {
	for k := range row.Width / 8 {
		e.addr = append(e.addr, c.Add(addr, c.Const(uint64(k), 64)))
		e.bytes = append(e.bytes, c.Extract(value, 8*k, 8))
	}
}

// load makes the term of a load.
func (m *memory) load(row *isa.Row, addr smt.Term) smt.Term {
	c := m.c
	var v smt.Term
	for k := range uint64(row.Width / 8) {
		b := m.byte(c.Add(addr, c.Const(k, 64)))
		if k == 0 {
			v = b
		} else {
			v = c.Concat(b, v)
		}
	}
	if row.Signed {
		return c.SExt(v, 64)
	}
	return c.ZExt(v, 64)
}

// Prove asks the solver whether the rule holds for all inputs and immediates
// that meet its conditions: Unsat says so, Sat that it is wrong.
func (r *Rule) Prove(ctx context.Context, solver string) (smt.Result, error) {
	c := smt.NewCtx(smt.Options{})
	s, err := smt.Open(c, solver)
	if err != nil {
		return smt.Unknown, err
	}
	defer s.Close()
	terms, err := r.claim(c)
	if err != nil {
		return smt.Unknown, err
	}
	res, _, err := s.Check(ctx, smt.Limits{}, terms...)
	return res, err
}

// claim lists terms that can hold together only if the rule is wrong.
func (r *Rule) claim(c *smt.Ctx) ([]smt.Term, error) {
	var in, claims []smt.Term
	konst := func(v uint64) smt.Term { return c.Const(v, 64) }
	for i := range r.From.Inputs {
		v := c.Var(string(rune('a'+i)), 64)
		in = append(in, v)
		claims = append(claims, c.Eq(c.And(v, konst(r.Zeros[i])), konst(0)), c.Eq(c.And(v, konst(r.Ones[i])), konst(r.Ones[i])))
	}
	imms := symbols{c: c}
	for i := range maxVars {
		imms.v = append(imms.v, c.Var("c"+string(rune('0'+i)), 64))
	}
	m := memory{c: c}
	side := func(t *slice.Term) (effect, error) {
		vals := make([]smt.Term, len(t.Nodes))
		var out effect
		at := func(r slice.Ref) smt.Term {
			if i, ok := r.IsInput(); ok {
				return in[i]
			}
			if r == slice.None {
				return konst(0)
			}
			return vals[r]
		}
		for i := range t.Nodes {
			n := &t.Nodes[i]
			row := isa.RowOf(n.Op)
			imm := konst(0)
			if n.HasImm() {
				var err error
				if imm, err = eval(r.imms[n.Imm].ast, number[smt.Term](imms)); err != nil {
					return effect{}, err
				}
				switch {
				case n.Op == isa.LoadImm:
				case n.IsMemory():
					claims = append(claims, c.Eq(imm, c.SExt(c.Extract(imm, 0, 16), 64)))
				case isShift(row):
					claims = append(claims, c.Ult(imm, konst(uint64(row.Width))))
				default:
					claims = append(claims, c.Eq(imm, c.SExt(c.Extract(imm, 0, 32), 64)))
				}
			}
			switch {
			case row.Kind == isa.KindStore:
				vals[i] = c.Add(at(n.A), imm) // where to
				continue
			case row.Kind == isa.KindLoad:
				vals[i] = m.load(row, c.Add(at(n.B), imm))
				continue
			case n.Op == slice.Then:
				continue
			}
			e := row.Result
			if row.Kind == isa.KindCondJump {
				e = row.Cond
			}
			vals[i] = symex.Term(c, e, at(n.A), at(n.B), imm)
			if c.Width(vals[i]) == 1 {
				vals[i] = c.ZExt(vals[i], 64)
			}
		}
		for _, k := range t.Stores() {
			out.store(c, isa.RowOf(t.Nodes[k].Op), vals[k], at(t.Nodes[k].B))
		}
		if !t.IsStore() {
			out.value = at(t.Root)
		}
		return out, nil
	}
	x, err := side(&r.From)
	if err != nil {
		return nil, err
	}
	y, err := side(&r.To)
	if err != nil {
		return nil, err
	}
	for _, k := range r.conds {
		t, err := eval(k.ast, number[smt.Term](imms))
		if err != nil {
			return nil, err
		}
		claims = append(claims, c.Ne(t, konst(0)))
	}
	if r.From.IsStore() {
		differ := c.Bool(false)
		for _, addr := range slices.Concat(x.addr, y.addr) {
			differ = c.Or(differ, c.Ne(m.after(&x, addr), m.after(&y, addr)))
		}
		claims = append(claims, append(m.claims(), differ)...)
	} else {
		claims = append(claims, m.claims()...)
		claims = append(claims, c.Ne(c.And(x.value, konst(r.Bits)), c.And(y.value, konst(r.Bits))))
	}
	for _, t := range claims {
		if c.Width(t) != 1 {
			return nil, errors.New("a condition is not one bit wide")
		}
	}
	return claims, nil
}
