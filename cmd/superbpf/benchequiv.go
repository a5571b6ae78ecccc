package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/equiv/mutate"
	"github.com/superbpf/superbpf/optimizer/pass"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// proofWays are the rows of the table: what makes proofs fast, off one after
// another. Those of K2's accelerations that we have too stand beside the paper's
// figures.
var proofWays = []struct {
	name  string
	off   func(*equiv.Options)
	paper func(*benchmarks.PaperProofs) string
}{
	{"all on", func(*equiv.Options) {}, func(p *benchmarks.PaperProofs) string { return p.All }},
	{"no verdict cache", func(o *equiv.Options) { o.NoCache = true }, nil},
	{"and tests last", func(o *equiv.Options) { o.TestsLast = true }, nil},
	{"and no deciding without the solver", func(o *equiv.Options) { o.NoQuick = true }, nil},
	{"and no shared solver", func(o *equiv.Options) { o.NoReuse = true }, nil},
	{"and no windows, no cuts but loops", func(o *equiv.Options) { o.NoCuts = true }, func(p *benchmarks.PaperProofs) string { return p.NoWindows }},
	{"and no offsets", func(o *equiv.Options) { o.NoOffsets = true }, func(p *benchmarks.PaperProofs) string { return p.NoOffsets }},
	{"and no maps told apart", func(o *equiv.Options) { o.NoMaps = true }, func(p *benchmarks.PaperProofs) string { return p.NoMaps }},
	{"and no kinds of memory", func(o *equiv.Options) { o.NoTypes = true }, func(p *benchmarks.PaperProofs) string { return p.NoTypes }},
	{"and no normal forms", func(o *equiv.Options) { o.Raw = true }, nil},
}

func benchEquivalenceCommand() *cobra.Command {
	var out, cpu, solver string
	var wall time.Duration
	var most int
	c := &cobra.Command{
		Use:   "equivalence",
		Short: "Time the proofs, with what makes them fast switched off bit by bit",
		Long: `Optimizes the programs of the paper's Table 4 without a kernel, keeps what the
prover is asked, adds damaged bodies as a blind search proposes them, and asks all of it with all that makes proofs fast,
and with one after another of these off: the verdict cache, tests before proofs, deciding conditions without the solver,
the solver shared between proofs, windows and cuts at joins, constant offsets, the difference between maps, the difference
between kinds of memory, and the normal forms of terms. Writes OUT/equivalence.md and OUT/equivalence.tsv.`,
		Example: `  superbpf bench equivalence
  superbpf bench equivalence --wall 10s --most 1000`,
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return benchEquivalence(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), out, cpu, solver, wall, most)
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "results", "folder for the tables")
	f.StringVar(&cpu, "input-mcpu", "v2", "instruction set level that clang compiles the programs for")
	f.StringVar(&solver, "solver", "auto", "go-z3, z3, cvc5 or auto")
	f.DurationVar(&wall, "wall", 2*time.Second, "time for one question")
	f.IntVar(&most, "most", 400, "questions for each program")
	return c
}

// question is one that the prover was asked.
type question struct{ p, q *prog.Func }

// notebook notes what a prover is asked.
type notebook struct {
	prover
	asked []question
}

func (r *notebook) Prove(ctx context.Context, p, q *prog.Func) pipeline.Proof {
	r.asked = append(r.asked, question{p.Clone(), q.Clone()})
	return r.prover.Prove(ctx, p, q)
}

func (r *notebook) ProveWhole(ctx context.Context, p, q *prog.Func) pipeline.Proof {
	return r.Prove(ctx, p, q)
}

// everything accepts all programs: these runs are about the proofs.
type everything struct{}

func (everything) Name() string { return "no kernel" }

func (everything) Load(context.Context, []byte, string) (pipeline.GateResult, error) {
	return pipeline.GateResult{Accepted: true, FailSlot: -1}, nil
}

// questions optimizes an object and returns what the prover was asked, and as
// many damaged bodies as make the given number.
func questions(ctx context.Context, obj *elf.Object, solver string, most int) ([]question, error) {
	v, err := equiv.New(equiv.Options{Solver: solver, Callee: obj.Callee, Places: true})
	if err != nil {
		return nil, err
	}
	defer v.Close()
	analyst, err := equiv.New(equiv.Options{Solver: "none", Callee: obj.Callee})
	if err != nil {
		return nil, err
	}
	rec := &notebook{prover: prover{v}}
	res, err := pipeline.Optimize(ctx, obj, pipeline.Options{Objective: cost.Latency, Model: cost.Default(), Prover: rec,
		Gates: []pipeline.Gate{everything{}}, Transforms: pass.All(pass.Config{MCPU: 4, Validator: analyst})})
	if err != nil {
		return nil, err
	}
	// Then what a blind search would propose for the last body: damaged ones.
	r := rand.New(rand.NewPCG(uint64(most), 4))
	bodies := map[*prog.Func]*prog.Func{}
	for i, f := range obj.Functions() {
		if bodies[f] = f; res.Functions[i].Output != nil {
			bodies[f] = res.Functions[i].Output
		}
	}
	for fs := obj.Functions(); len(rec.asked) < most; {
		f := fs[r.IntN(len(fs))]
		q := bodies[f].Clone()
		if len(q.Insns) > 0 && mutate.Damage(r, q) != "" && prog.Check(q) == nil {
			rec.asked = append(rec.asked, question{f, q})
		}
	}
	return rec.asked, nil
}

// answered is how one way did on one program's questions.
type answered struct {
	took                   []time.Duration
	equal, different, hits int
	calls, solver, late    int
}

func (a *answered) at(q float64) string {
	if len(a.took) == 0 {
		return ""
	}
	s := slices.Sorted(slices.Values(a.took))
	return fmt.Sprintf("%.0f", float64(s[min(int(q*float64(len(s))), len(s)-1)].Nanoseconds())/1000)
}

func ask(ctx context.Context, obj *elf.Object, qs []question, o equiv.Options, wall time.Duration) (*answered, error) {
	v, err := equiv.New(o)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	a := &answered{}
	for _, q := range qs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		before := v.CacheStats().Hits
		once, cancel := context.WithTimeout(ctx, wall)
		start := time.Now()
		r := v.Func(once, q.p, q.q)
		a.took = append(a.took, time.Since(start))
		if once.Err() != nil {
			a.late++
		}
		cancel()
		switch r.Verdict {
		case equiv.Equal:
			a.equal++
		case equiv.Different:
			a.different++
		}
		if v.CacheStats().Hits == before && r.Stats.SolverCalls > 0 {
			a.solver++
			a.calls += r.Stats.SolverCalls
		}
	}
	a.hits = v.CacheStats().Hits
	return a, nil
}

func benchEquivalence(ctx context.Context, stdout, stderr io.Writer, out, cpu, solver string, wall time.Duration, most int) error {
	suite, err := benchmarks.Load("k2")
	if err != nil {
		return err
	}
	paper, err := benchmarks.PaperOfProofs()
	if err != nil {
		return err
	}
	table := measure.Table{Header: []string{"program", "slots", "questions", "way", "median us", "p99 us", "out of time", "Equal", "Different", "cache hits",
		"settled without a solver", "solver calls", "paper: us", "paper: cache hits"}}
	for k := range paper {
		name := paper[k].Program
		i := slices.IndexFunc(suite, func(b *benchmarks.Bench) bool { return b.Name == name })
		if i < 0 {
			return fmt.Errorf("suite k2 has no program %s", name)
		}
		raw, err := suite[i].Compile(ctx, "O2", cpu)
		if err != nil {
			return err
		}
		obj, err := elf.Read(raw)
		if err != nil {
			return err
		}
		qs, err := questions(ctx, obj, solver, most)
		if err != nil {
			return err
		}
		qs = qs[:min(len(qs), most)]
		slots := 0
		for _, f := range obj.Functions() {
			slots += f.Slots()
		}
		o := equiv.Options{Solver: solver, Callee: obj.Callee}
		for _, w := range proofWays {
			fmt.Fprintf(stderr, "%s: %d questions, %s\n", name, len(qs), w.name)
			w.off(&o)
			a, err := ask(ctx, obj, qs, o, wall)
			if err != nil {
				return err
			}
			n := max(len(qs), 1)
			theirs, rate := "", ""
			if w.paper != nil {
				theirs = w.paper(&paper[k])
			}
			if w.name == proofWays[0].name {
				rate = paper[k].HitRate()
			}
			table.Rows = append(table.Rows, []string{name, fmt.Sprint(slots), fmt.Sprint(len(qs)), w.name, a.at(0.5), a.at(0.99), fmt.Sprint(a.late), fmt.Sprint(a.equal), fmt.Sprint(a.different),
				fmt.Sprintf("%.1f %%", 100*float64(a.hits)/float64(n)), fmt.Sprintf("%.1f %%", 100*float64(n-a.solver)/float64(n)), fmt.Sprint(a.calls), theirs, rate})
		}
	}
	intro := fmt.Sprintf("# Proofs\n\nGenerated by `superbpf bench equivalence --wall %v --most %d`: what the prover was asked while the passes optimized our programs "+
		"for the names in Table 4 of the K2 paper (clang -O2 -mcpu=%s), then damaged bodies as a blind search proposes them, asked with what makes proofs fast off, one after another. "+
		"A question that runs out of time counts with the time it took. Times are of this machine, as busy as it was. "+
		"The paper's columns are K2's own questions on its testbed (Tables 4 and 6): its cache, its machine; in its last rows, too, windows are off.", wall, most, cpu)
	if err := writeResult(out, "equivalence", intro, table); err != nil {
		return err
	}
	return table.Markdown(stdout)
}
