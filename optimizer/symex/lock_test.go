package symex

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

var corners = []uint64{0, 1, 2, 31, 32, 63, 64, 0x7f, 0x80, 0xff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 32,
	1<<63 - 1, 1 << 63, ^uint64(0), 0xffffffff80000000, 0x0123456789abcdef}

// point is one choice of a row's operands.
type point struct{ dst, src, imm, mem, r0 uint64 }

func points(r *rand.Rand) []point {
	var out []point
	pick := func() uint64 {
		if r.IntN(4) == 0 {
			return r.Uint64()
		}
		return corners[r.IntN(len(corners))]
	}
	for _, d := range corners {
		for range 2 {
			s := pick()
			p := point{d, s, uint64(int64(int32(s))), pick(), pick()}
			if r.IntN(2) == 0 {
				p.r0 = p.mem // the exchange happens
			}
			out = append(out, p)
		}
	}
	return out
}

// part is a term of a row and where its value is found after the instruction.
type part struct {
	what string
	term *isa.Expr
	out  []isa.Insn // moves the value to r0
}

func parts(row *isa.Row) []part {
	mov, ldx := isa.ALU(isa.FnMov, 64, false), isa.Load(row.Width, false)
	var out []part
	from := map[bool]isa.Reg{false: 2, true: 3}[row.Kind == isa.KindAtomic && row.Fn != isa.FnLoadAcq]
	if row.Fn == isa.FnCmpXchg {
		from = 0
	}
	if row.Result != nil {
		out = append(out, part{"result", row.Result, []isa.Insn{{Op: mov, Dst: 0, Src: from}}})
	}
	if row.Store != nil {
		out = append(out, part{"store", row.Store, []isa.Insn{{Op: ldx, Dst: 0, Src: isa.FP, Off: -8}}})
	}
	return out
}

// concrete runs the row on the interpreter's generated code.
func concrete(t *testing.T, m *interp.Machine, row *isa.Row, p point, out []isa.Insn) uint64 {
	t.Helper()
	mov := isa.ALU(isa.FnMov, 64, false)
	f := &prog.Func{Name: row.Name, Type: prog.TypeXDP} // not an entry: all of r0 counts
	add := func(i isa.Insn) { f.Insns = append(f.Insns, prog.New(i)) }
	add(isa.Insn{Op: isa.Store(64, false), Dst: isa.FP, Src: 5, Off: -8})
	add(isa.Insn{Op: mov, Dst: 0, Src: 4})
	in := isa.Insn{Op: row.Op, Dst: 2, Src: 3, Imm: int64(p.imm)}
	switch row.Kind {
	case isa.KindLoad:
		in.Src, in.Off = isa.FP, -8
	case isa.KindStore, isa.KindAtomic:
		in.Dst, in.Off = isa.FP, -8
		if row.Fn == isa.FnLoadAcq {
			in.Dst, in.Src = 2, isa.FP
		}
	}
	add(in)
	if row.Kind == isa.KindCondJump {
		f.Insns[2].Target = 5
		add(isa.Insn{Op: isa.LoadImm, Dst: 0, Imm: 0})
		add(isa.Insn{Op: isa.Exit})
		add(isa.Insn{Op: isa.LoadImm, Dst: 0, Imm: 1})
	}
	for _, i := range out {
		add(i)
	}
	add(isa.Insn{Op: isa.Exit})
	ready, err := m.Load(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	o, err := m.Run(ready, &interp.Input{Args: []uint64{0, p.dst, p.src, p.r0, p.mem}})
	if err != nil {
		t.Fatal(err)
	}
	return o.R0
}

// TestRowsAgree holds three readings of every row together over corner values:
// the interpreter's generated code, the terms folded by package smt, and the
// solver.
func TestRowsAgree(t *testing.T) {
	c := smt.NewCtx(smt.Options{})
	solver, err := smt.Open(c, "auto")
	if errors.Is(err, smt.ErrNoSolver) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer solver.Close()
	m := interp.New()
	r := rand.New(rand.NewPCG(1, 2))
	rows := 0
	for _, row := range isa.Rows() {
		list := parts(&row)
		switch row.Kind {
		case isa.KindALU, isa.KindLoad, isa.KindStore, isa.KindAtomic:
		case isa.KindCondJump:
			list = []part{{"condition", row.Cond, nil}}
		default:
			continue
		}
		rows++
		v := &operands{c: c, dst: c.Var("dst", 64), src: c.Var("src", 64), imm: c.Var("imm", 64), r0: c.Var("r0", 64)}
		mem := c.Var("mem", 64)
		low := row.Width
		v.mem = c.Extract(mem, 0, low)
		for _, part := range list {
			sym := isa.Eval(part.term, isa.Domain[smt.Term](v))
			wrong := c.Bool(false)
			for _, p := range points(r) {
				want := concrete(t, m, &row, p, part.out)
				k := func(x uint64) smt.Term { return c.Const(x, 64) }
				fixed := &operands{c: c, dst: k(p.dst), src: k(p.src), imm: k(p.imm), r0: k(p.r0), mem: c.Const(p.mem, low)}
				folded := isa.Eval(part.term, isa.Domain[smt.Term](fixed))
				if got, ok := c.IsConst(folded); !ok || got != want {
					t.Fatalf("%s, %s at %+v: the interpreter gives %#x, folding %s", row.Name, part.what, p, want, c.String(folded))
				}
				at := c.And(c.And(c.Eq(v.dst, k(p.dst)), c.Eq(v.src, k(p.src))), c.And(c.Eq(v.imm, k(p.imm)),
					c.And(c.Eq(v.r0, k(p.r0)), c.Eq(mem, k(p.mem)))))
				wrong = c.Or(wrong, c.And(at, c.Not(c.Eq(sym, c.Const(want, c.Width(sym))))))
			}
			res, as, err := solver.Check(context.Background(), smt.Limits{Steps: 20_000_000, Wall: time.Minute}, wrong)
			if err != nil || res != smt.Unsat {
				t.Errorf("%s, %s: the solver disagrees with the interpreter: %v %v %v", row.Name, part.what, res, as, err)
			}
		}
	}
	if rows < 150 {
		t.Fatalf("only %d rows", rows)
	}
}
