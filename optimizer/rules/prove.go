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

// effect is what a side of a rule computes; of a store also the address, and as
// many bits as it writes.
type effect struct{ value, addr smt.Term }

// memory holds the bytes that the loads of a rule read. Nothing is known of them
// but that equal addresses have equal bytes: a rule has no store that a load could
// see.
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

// access makes the terms of a load or store.
func (m *memory) access(row *isa.Row, addr, value smt.Term) effect {
	c := m.c
	if row.Kind == isa.KindStore {
		return effect{c.Extract(value, 0, row.Width), addr}
	}
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
		return effect{value: c.SExt(v, 64)}
	}
	return effect{value: c.ZExt(v, 64)}
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
			if n.IsMemory() {
				base := n.B
				if row.Kind == isa.KindStore {
					base = n.A
				}
				x := m.access(row, c.Add(at(base), imm), at(n.B))
				if row.Kind == isa.KindStore {
					return x, nil
				}
				vals[i] = x.value
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
		return effect{value: at(t.Root)}, nil
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
	claims = append(claims, m.claims()...)
	if r.From.IsStore() {
		claims = append(claims, c.Or(c.Ne(x.addr, y.addr), c.Ne(x.value, y.value)))
	} else {
		claims = append(claims, c.Ne(c.And(x.value, konst(r.Bits)), c.And(y.value, konst(r.Bits))))
	}
	for _, t := range claims {
		if c.Width(t) != 1 {
			return nil, errors.New("a condition is not one bit wide")
		}
	}
	return claims, nil
}
