package prog

import (
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
)

func mov(d isa.Reg, v int64) Insn {
	return New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: d, Imm: v})
}

func jump(op isa.Op, d isa.Reg, v int64, target int) Insn {
	i := New(isa.Insn{Op: op, Dst: d, Imm: v})
	i.Target = target
	return i
}

// diamond: 0 branches to 3; 1,2 and 3 meet at 4.
func diamond() *Func {
	return &Func{Name: "diamond", Insns: []Insn{
		jump(isa.CondJump(isa.FnJeq, 64, true), isa.R1, 0, 3),
		mov(isa.R0, 1),
		jump(isa.Ja, 0, 0, 4),
		mov(isa.R0, 2),
		New(isa.Insn{Op: isa.ALU(isa.FnAdd, 64, false), Dst: isa.R0, Src: isa.R6}),
		New(isa.Insn{Op: isa.Exit}),
	}}
}

func TestDiamond(t *testing.T) {
	f := diamond()
	if err := Check(f); err != nil {
		t.Fatal(err)
	}
	g := NewCFG(f)
	if len(g.Blocks) != 4 || g.Idom[3] != 0 || !g.Dominates(0, 3) || g.Dominates(1, 3) {
		t.Errorf("blocks %+v, dominators %v", g.Blocks, g.Idom)
	}
	l := NewLiveness(g)
	if l.Before[0] != isa.Regs(isa.R1, isa.R6) || l.After[1] != isa.Regs(isa.R0, isa.R6) || l.After[4] != isa.Regs(isa.R0) {
		t.Errorf("live %b %b %b", l.Before[0], l.After[1], l.After[4])
	}
}

func TestLoopHeads(t *testing.T) {
	f := &Func{Name: "loop", Insns: []Insn{
		mov(isa.R0, 10),
		New(isa.Insn{Op: isa.ALU(isa.FnAdd, 64, true), Dst: isa.R0, Imm: -1}),
		jump(isa.CondJump(isa.FnJne, 64, true), isa.R0, 0, 1),
		New(isa.Insn{Op: isa.Exit}),
	}}
	g := NewCFG(f)
	if h := g.LoopHeads(); !h[1] || h[0] || h[2] {
		t.Errorf("heads %v of %+v", h, g.Blocks)
	}
}

func TestCompactRetargetsJumps(t *testing.T) {
	f := diamond()
	f.Insns[3] = New(isa.Insn{Op: isa.Nop})
	f.Compact()
	if err := Check(f); err != nil {
		t.Fatal(err)
	}
	if len(f.Insns) != 5 || f.Insns[0].Target != 3 || f.Insns[2].Target != 3 {
		t.Errorf("%+v", f.Insns)
	}
}

func TestSpliceMovesTargets(t *testing.T) {
	f := diamond()
	if err := f.Splice(1, 2, []Insn{mov(isa.R0, 5), mov(isa.R2, 6), mov(isa.R3, 7)}); err != nil {
		t.Fatal(err)
	}
	if f.Insns[0].Target != 5 || f.Insns[4].Target != 6 || len(f.Insns) != 8 {
		t.Errorf("%+v", f.Insns)
	}
	if err := f.Splice(4, 6, nil); err == nil {
		t.Error("a jump into the replaced range was accepted")
	}
}

// TestSplicePutsIn: what is put before an instruction is what jumps to it reach.
func TestSplicePutsIn(t *testing.T) {
	f := diamond()
	at := f.Insns[0].Target
	if err := f.Splice(at, at, []Insn{mov(isa.R3, 8)}); err != nil {
		t.Fatal(err)
	}
	if f.Insns[0].Target != at || f.Insns[at].Imm != 8 {
		t.Errorf("%+v", f.Insns)
	}
}
