package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/equiv/campaign"
	"github.com/superbpf/superbpf/optimizer/pass"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// corpusSettings say which objects a campaign works on.
type corpusSettings struct {
	suite, objects, out string
	cpus                []string
	seed                int64
}

func (s *corpusSettings) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.suite, "suite", "all", "suite whose programs are compiled for this; none for no suite")
	f.StringSliceVar(&s.cpus, "input-mcpu", []string{"v2", "v4"}, "instruction set levels that clang compiles them for")
	f.StringVar(&s.objects, "objects", "", "glob of more objects")
	f.StringVar(&s.out, "out", "results", "folder for the tables")
	f.Int64Var(&s.seed, "seed", 1, "seed of every random choice")
}

// each reads all objects of the corpus.
func (s *corpusSettings) each(ctx context.Context, do func(name string, o *elf.Object) error) error {
	read := func(name string, raw []byte) error {
		o, err := elf.Read(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return do(name, o)
	}
	if s.suite != "none" {
		suite, err := benchmarks.Load(s.suite)
		if err != nil {
			return err
		}
		for _, b := range suite {
			for _, cpu := range s.cpus {
				raw, err := b.Compile(ctx, "O2", cpu)
				if err != nil {
					return err
				}
				if err := read(b.Name+"-"+cpu, raw); err != nil {
					return err
				}
			}
		}
	}
	files, err := filepath.Glob(s.objects)
	if err != nil {
		return fail(exitUsage, "--objects: %v", err)
	}
	if s.objects != "" && len(files) == 0 {
		return fail(exitUsage, "--objects: no file matches %s", s.objects)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := read(filepath.Base(f), raw); err != nil {
			return err
		}
	}
	return nil
}

// writeResult writes a table with an introduction as NAME.md and NAME.tsv.
func writeResult(dir, name, intro string, t measure.Table) error {
	var md, tsv bytes.Buffer
	md.WriteString(intro + "\n\n")
	if err := errors.Join(t.Markdown(&md), t.TSV(&tsv)); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return errors.Join(writeFile(filepath.Join(dir, name+".md"), md.Bytes()), writeFile(filepath.Join(dir, name+".tsv"), tsv.Bytes()))
}

// ticker prints a line every ten seconds.
func ticker(w io.Writer, what string, total int) func(done int) {
	last := time.Now()
	return func(done int) {
		if now := time.Now(); now.Sub(last) > 10*time.Second {
			last = now
			fmt.Fprintf(w, "%s: %d of %d\n", what, done, total)
		}
	}
}

func benchMutantsCommand() *cobra.Command {
	var s corpusSettings
	var o campaign.Options
	var solver, cases string
	var largest int
	c := &cobra.Command{
		Use:   "mutants",
		Short: "Damage functions and see that the proof notices",
		Long: `Takes functions, and functions with their optimized forms, damages one place
of the replacement, and asks for a proof. What is called Equal must behave like
the original in every environment tried; a single one that does not is a failure.
Writes OUT/mutants.md and OUT/mutants.tsv.`,
		Example: `  superbpf bench mutants --count 100000 --seed 7
  superbpf bench mutants --suite none --objects 'build/*.o'`,
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			o.Seed = uint64(s.seed)
			var corpus []campaign.Pair
			if cases != "" {
				var err error
				if corpus, err = campaign.Cases(cases); err != nil {
					return fail(exitUsage, "--cases: %v", err)
				}
			}
			err := s.each(c.Context(), func(name string, obj *elf.Object) error {
				pairs, err := optimizedPairs(c.Context(), name, obj, solver, largest)
				corpus = append(corpus, pairs...)
				fmt.Fprintf(c.ErrOrStderr(), "%s: %d pairs\n", name, len(pairs))
				return err
			})
			if err != nil {
				return err
			}
			return benchMutants(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), &s, corpus, o, solver)
		},
	}
	s.flags(c)
	f := c.Flags()
	f.IntVar(&o.Mutants, "count", 10_000, "damaged functions to try")
	f.IntVar(&o.Runs, "runs", 40, "environments in which what is called Equal must behave alike")
	f.DurationVar(&o.Wall, "wall", time.Second, "time for one proof")
	f.StringVar(&solver, "solver", "auto", "go-z3, z3, cvc5, auto, or none")
	f.StringVar(&cases, "cases", "", "glob of text cases (two functions and a verdict) to damage too")
	f.IntVar(&largest, "largest", 400, "leave out functions with more instructions")
	return c
}

func benchMutants(ctx context.Context, stdout, stderr io.Writer, s *corpusSettings, corpus []campaign.Pair, o campaign.Options, solver string) error {
	start := time.Now()
	v, err := equiv.New(equiv.Options{Solver: solver, TestsLast: true, Limits: smt.Limits{Steps: 100_000, Wall: 200 * time.Millisecond}})
	if err != nil {
		return err
	}
	defer v.Close()
	o.Progress = ticker(stderr, "mutants", o.Mutants)
	rep, err := campaign.Run(ctx, v, corpus, o)
	if err != nil && rep.Sum().Tried == 0 {
		return err
	} // a campaign cut short has figures, too
	for _, w := range rep.Wrong {
		fmt.Fprintf(stderr, "WRONG: %s\n", w)
	}
	table := measure.Table{Header: []string{"damage", "mutants", "Equal", "Different", "Unknown", "Unsupported", "not Equal and told by a run"}}
	add := func(name string, c campaign.Count) {
		r := []string{name}
		for _, n := range []int{c.Tried, c.Equal, c.Different, c.Unknown, c.Unsupported, c.Told} {
			r = append(r, fmt.Sprint(n))
		}
		table.Rows = append(table.Rows, r)
	}
	for _, kind := range slices.Sorted(maps.Keys(rep.Kinds)) {
		add(kind, *rep.Kinds[kind])
	}
	add("all", rep.Sum())
	intro := fmt.Sprintf("# Damaged functions\n\nGenerated by `superbpf bench mutants --count %d --seed %d`: %d pairs of a function and one that may replace it "+
		"(suite %s), damaged in one place; solver %s.\n\nWrong \"Equal\": %d. The %d mutants called Equal ran side by side with their originals in %d made-up environments, "+
		"with registers, memory, maps and calls compared.", rep.Sum().Tried, s.seed, rep.Pairs, s.suite, v.SolverName(), len(rep.Wrong), rep.Sum().Equal, rep.Compared)
	if err := writeResult(s.out, "mutants", intro, table); err != nil {
		return err
	}
	sum := rep.Sum()
	fmt.Fprintf(stdout, "%d mutants, %d called Equal, %d of them wrong; %.0f s\n", sum.Tried, sum.Equal, len(rep.Wrong), time.Since(start).Seconds())
	if len(rep.Wrong) > 0 {
		return fail(exitUnproved, "%d mutants are called Equal and are not", len(rep.Wrong))
	}
	return nil
}

// optimizedPairs gives each function of an object, paired with itself and with
// what the passes make of it.
func optimizedPairs(ctx context.Context, name string, obj *elf.Object, solver string, largest int) ([]campaign.Pair, error) {
	v, err := equiv.New(equiv.Options{Solver: solver, Callee: obj.Callee})
	if err != nil {
		return nil, err
	}
	defer v.Close()
	analyst, err := equiv.New(equiv.Options{Solver: "none", Callee: obj.Callee})
	if err != nil {
		return nil, err
	}
	var out []campaign.Pair
	for _, f := range obj.Functions() {
		if f.Unsupported != "" || len(f.Insns) == 0 || len(f.Insns) > largest {
			continue
		}
		out = append(out, campaign.Pair{Name: name + ":" + f.Name, P: f, Q: f})
		cur := f
		for _, t := range pass.All(pass.Config{MCPU: 4, Validator: analyst}) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			cand, _ := t.Run(ctx, cur, func(int) bool { return true })
			if cand == nil {
				continue
			}
			cand.Compact()
			if v.Func(ctx, cur, cand).Verdict == equiv.Equal {
				cur = cand
			}
		}
		if !prog.SameCode(f, cur) && v.Func(ctx, f, cur).Verdict == equiv.Equal {
			out = append(out, campaign.Pair{Name: name + ":" + f.Name + " optimized", P: f, Q: cur})
		}
	}
	return out, nil
}
