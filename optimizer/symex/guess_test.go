package symex_test

import (
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// What an operation makes is never ruled out for it, and mostly for others.
func TestGives(t *testing.T) {
	c := smt.NewCtx(smt.Options{})
	f := &prog.Func{Name: "f", Type: prog.TypeXDP, Entry: true, NumArgs: 1, Insns: []prog.Insn{prog.New(isa.Insn{Op: isa.Exit})}}
	e := symex.NewEngine(c, f, nil)
	st := e.Start()
	x, y := c.Var("x", 64), c.UF("load", 8, c.Var("y", 64))
	values := []smt.Term{x, c.ZExt(y, 64), c.Add(x, c.Const(7, 64)), c.Concat(c.Extract(x, 32, 32), c.Not(c.Extract(x, 0, 32))), c.Const(1<<40, 64)}
	for i, v := range values {
		st.Regs[i] = v
	}
	var all []prog.Insn
	for _, row := range isa.Rows() {
		if row.Kind != isa.KindALU && row.Kind != isa.KindCondJump {
			continue
		}
		imms := []int64{0}
		if row.Imm {
			imms = []int64{0, 1, 7, 31, -1}
		}
		for d := range values {
			for _, imm := range imms {
				in := prog.New(isa.Insn{Op: row.Op, Dst: isa.Reg(d), Src: isa.Reg((d + 1) % len(values)), Imm: imm})
				if row.Imm {
					in.Src = 0
				}
				all = append(all, in)
			}
		}
	}
	asked, ruledOut := 0, 0
	for k := range all {
		in := &all[k]
		after := st.Clone()
		goal, err := e.Step(after, in)
		if err != nil {
			t.Fatal(isa.Format(in.Insn, ""), err)
		}
		if goal == 0 {
			goal = after.Regs[in.Dst]
		}
		if !e.Gives(st, in, goal) {
			t.Errorf("%s is ruled out for what it makes, %s", isa.Format(in.Insn, ""), c.String(goal))
		}
		for j := k % 17; j < len(all); j += 17 {
			if all[j].Row().Kind == isa.KindALU && in.Row().Kind == isa.KindALU {
				if asked++; !e.Gives(st, &all[j], goal) {
					ruledOut++
				}
			}
		}
	}
	if ruledOut < asked*9/10 {
		t.Errorf("%d of %d are ruled out", ruledOut, asked)
	}
}
