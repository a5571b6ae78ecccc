package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader/kerneltest"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// shiftsInLoop runs a shift 2000 times, between moves that nobody needs.
const shiftsInLoop = `#include "net.h"
SEC("xdp") int shifts(struct xdp_md *ctx) {
	asm volatile("r2 = 777; r2 = 778; r2 = 779; r3 = 2000; r1 = 0x7fffffff;"
		"1: r1 >>= 3; r1 += 0x7ffffff; r1 <<= 4; r3 += -1; if r3 != 0 goto 1b; r2 = 780; r2 = 781" ::: "r1", "r2", "r3");
	return XDP_DROP;
}
LICENSE_GPL;
`

// shiftsDivide deletes the moves, which saves time, and divides where the input
// shifts, which is right but slow: all in one step.
type shiftsDivide struct{}

func (shiftsDivide) Name() string { return "shifts-divide" }

func (shiftsDivide) Run(_ context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []pipeline.Change) {
	g := f.Clone()
	var changes []pipeline.Change
	for k := range g.Insns {
		in := &g.Insns[k]
		r := in.Row()
		was := isa.Format(in.Insn, "")
		now := prog.New(isa.Insn{Op: isa.ALU(isa.FnDiv, 64, true), Dst: in.Dst, Imm: 8})
		switch {
		case r.Fn == isa.FnMov && r.Imm && in.Imm >= 777 && in.Imm <= 781:
			now = prog.New(isa.Insn{Op: isa.Nop})
		case in.Op == isa.ALU(isa.FnRsh, 64, true) && in.Imm == 3:
		default:
			continue
		}
		if allow(in.Origin) {
			now.Origin = in.Origin
			*in = now
			changes = append(changes, pipeline.Change{At: k, Text: was})
		}
	}
	return g, changes
}

// trusting proves nothing: the test's rewrites are right.
type trusting struct{}

func (trusting) Prove(context.Context, *prog.Func, *prog.Func) pipeline.Proof {
	return pipeline.Proof{Equal: true, Verdict: "Equal"}
}

// A model that takes divisions for cheap makes a program slow. The kernel's
// measurements find the one rewrite of the step that did, take it back, keep the
// others, and raise the price.
func TestMeasuredSlowdownIsWithdrawn(t *testing.T) {
	kerneltest.Require(t)
	if _, err := benchmarks.Clang(); err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "suite")
	write(t, filepath.Join(dir, "shifts", "bench.yaml"), "name: shifts\nprogram: shifts\n")
	write(t, filepath.Join(dir, "shifts", "prog.bpf.c"), shiftsInLoop)
	suite, err := benchmarks.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	object, err := suite[0].Compile(t.Context(), "O2", "v3")
	if err != nil {
		t.Fatal(err)
	}
	obj, err := elf.Read(object)
	if err != nil {
		t.Fatal(err)
	}
	kernels, err := openGates(t.Context(), []string{runningKernel}, "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer kernels.Close()
	judges, done, err := kernels.Judges(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	in, err := inputs("", 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	div := isa.RowOf(isa.ALU(isa.FnDiv, 64, true)).Name
	// A busy machine may hide even this from one race.
	wrong := ""
	for seed := range uint64(4) {
		model := cost.Default()
		model.Insn[div] = 0.001
		if err := model.Init(); err != nil {
			t.Fatal(err)
		}
		opt := pipeline.Options{Model: model, Transforms: []pipeline.Transform{shiftsDivide{}}, Prover: trusting{}, Gates: judges}
		res, err := pipeline.Optimize(t.Context(), obj, opt)
		if err != nil {
			t.Fatal(err)
		}
		if fr := res.Functions[0]; len(fr.Steps) != 1 || len(fr.Steps[0].Changes) != 6 {
			t.Fatalf("%d steps: %+v", len(fr.Steps), fr.Refused)
		}
		m := meter{inputs: in, options: measure.Quick(measure.LatencyOptions{Seed: seed})}
		if err := pipeline.Select(t.Context(), obj, res, opt, m); err != nil {
			t.Fatal(err)
		}
		fr := res.Functions[0]
		text := strings.Join(pipeline.Listing(fr.Output), "\n")
		t.Log(fr.Measured)
		switch {
		case !strings.Contains(text, ">>= 3") || strings.Contains(text, "/= 8"):
			wrong = "the division stays:\n" + text
		case strings.Contains(text, "= 777") || strings.Contains(text, "= 781"):
			wrong = "a rewrite that is not to blame was withdrawn:\n" + text
		case !strings.Contains(fr.Measured, "shifts-divide (r1 >>= 3)"):
			wrong = "the rewrite is not named: " + fr.Measured
		case !(model.Insn[div] > 0.001) || model.Refined == 0:
			wrong = fmt.Sprintf("the division's price is still %g", model.Insn[div])
		default:
			return
		}
	}
	t.Error(wrong)
}

// A program too short for a ratio is not said to take 0.000 of the input's time.
func TestRaceNote(t *testing.T) {
	d := measure.Diff{Base: measure.Interval{Mid: 0.2, Low: 0.19, High: 0.21}, Rival: measure.Interval{Mid: 0.0001},
		Change: measure.Interval{Mid: -0.2, Low: -0.21, High: -0.19}, Verdict: measure.NoDifference}
	if note := raceNote(d); note != "measured no difference: -0.20 ns (95 %: -0.21 to -0.19)" {
		t.Error(note)
	}
	d = measure.Diff{Base: measure.Interval{Mid: 20, Low: 19, High: 21}, Change: measure.Interval{Mid: -2, Low: -3, High: -1},
		Relative: measure.Interval{Mid: 0.9, Low: 0.85, High: 0.95}, Verdict: measure.Faster}
	if note := raceNote(d); note != "measured faster: 0.900 of the input's time (95 %: 0.850 to 0.950)" {
		t.Error(note)
	}
}
