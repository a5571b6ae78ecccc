package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/pipeline"
)

func benchKernelsCommand() *cobra.Command {
	s := sizesSettings{jobs: 1}
	c := &cobra.Command{
		Use:   "kernels",
		Short: "Tabulate what it costs to please several kernels",
		Long: `Optimizes each program of a suite twice, without timing: for the first of the
kernels named alone, and for all of them together. Tabulates the slots, the
difference, and the rewrites that each kernel refused. Tables go to OUT.`,
		Example: `  sudo superbpf bench kernels
  sudo superbpf bench kernels --kernels 6.12,6.1 --programs xdp1,xdp2`,
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return s.kernelCosts(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	s.flags(c)
	f := c.Flags()
	f.StringVar(&s.suite, "suite", "k2", strings.Join(benchmarks.Suites(), ", ")+", all, or a folder of programs")
	f.StringSliceVar(&s.programs, "programs", nil, "only these programs of the suite")
	f.StringSliceVar(&s.levels, "input-mcpu", []string{"v2", "v3"}, "instruction set levels that clang compiles a suite for")
	f.StringVar(&s.out, "out", "results", "folder for the tables")
	c.Flag("kernels").DefValue = "[running,6.1,6.12]"
	s.kernels = []string{runningKernel, "6.1", "6.12"}
	return c
}

// gated is one program at one level under one set of kernels.
type gated struct {
	slots, input int
	late         bool                      // the budget ended it
	refused      map[string]map[string]int // by kernel: what, and how often
	notGated     []string
}

func (s *sizesSettings) kernelCosts(ctx context.Context, stdout, stderr io.Writer) error {
	suite, err := s.chosen()
	if err != nil {
		return err
	}
	all, err := openGates(ctx, s.kernels, s.progType, stderr)
	if err != nil {
		return err
	}
	defer all.Close()
	first := all.names[0]
	t := measure.Table{
		Title:  fmt.Sprintf("Suite %s under the verifiers of %s, objective %s, -O%d", filepath.Base(s.suite), strings.Join(all.names, ", "), s.objective, s.level),
		Header: []string{"program", "input", "clang", first + " alone", "all", "cost", "refused rewrites", "not gated by"},
	}
	var sum [3]int
	total := map[string]int{}
	for i, b := range suite {
		for _, cpu := range s.levels {
			if ctx.Err() != nil {
				return errors.New("interrupted: earlier tables are left as they were")
			}
			raw, err := compileBest(ctx, b, cpu, all, &outcome{Sizes: map[string]int{}})
			if err != nil {
				return fmt.Errorf("%s: %w", b.Name, err)
			}
			alone, err := s.gated(ctx, b.Name, raw, all.only(first))
			if err != nil {
				return fmt.Errorf("%s: %w", b.Name, err)
			}
			both, err := s.gated(ctx, b.Name, raw, all)
			if err != nil {
				return fmt.Errorf("%s: %w", b.Name, err)
			}
			fmt.Fprintf(stderr, "[%d/%d] %s %s: %d -> %d, %d\n", i+1, len(suite), b.Name, cpu, alone.input, alone.slots, both.slots)
			for kernel, what := range both.refused {
				for _, n := range what {
					total[kernel] += n
				}
			}
			sum[0], sum[1], sum[2] = sum[0]+alone.input, sum[1]+alone.slots, sum[2]+both.slots
			t.Rows = append(t.Rows, []string{b.Name, cpu, fmt.Sprint(alone.input), alone.String(), both.String(),
				fmt.Sprint(both.slots - alone.slots), both.why(), strings.Join(both.notGated, ", ")})
		}
	}
	t.Rows = append(t.Rows, []string{"all", "", fmt.Sprint(sum[0]), fmt.Sprint(sum[1]), fmt.Sprint(sum[2]), fmt.Sprint(sum[2] - sum[1]), "", ""})
	judges, done, err := all.Judges(nil)
	if err != nil {
		return err
	}
	done()
	for k, j := range judges {
		t.Notes = append(t.Notes, fmt.Sprintf("%s: %s, loads instructions up to v%d, refused %d rewrites.", all.names[k], j.Name(), all.levels[all.names[k]], total[j.Name()]))
	}
	t.Notes = append(t.Notes, fmt.Sprintf("Slots are 8 bytes. One refusal drops a rewrite; the kernels after the first are asked together, if the first accepts. "+
		"Where all must accept, instructions newer than the oldest kernel loads are not used either. Budget: %v for a function.", s.budget))
	return s.finish(ctx, stdout, &t, filepath.Base(s.suite)+"-kernels-"+s.goal(), nil)
}

// gated optimizes an object for some kernels.
func (s *sizesSettings) gated(ctx context.Context, name string, raw []byte, g *gates) (*gated, error) {
	one := s.settings
	one.gates = g
	opt, err := newOptimization(ctx, name, raw, &one)
	if err != nil {
		return nil, err
	}
	defer opt.Close()
	res, err := pipeline.Optimize(ctx, opt.Object, opt.Options)
	if err != nil {
		return nil, err
	}
	r := &gated{refused: map[string]map[string]int{}}
	for _, fr := range res.Functions {
		r.late = r.late || fr.Cut
		r.input += fr.Before.Slots
		r.slots += fr.After.Slots
		for _, w := range fr.Refused.Rewrites {
			if r.refused[w.Kernel] == nil {
				r.refused[w.Kernel] = map[string]int{}
			}
			r.refused[w.Kernel][w.Transform+" ("+w.Kind+")"]++
		}
	}
	for _, p := range res.Programs {
		for _, k := range p.Kernels {
			if !k.Before.Accepted {
				r.notGated = append(r.notGated, k.Name+": "+k.Before.Kind)
			}
		}
	}
	return r, nil
}

// String is the number of slots, with a mark if there was no time for more.
func (g *gated) String() string {
	if g.late {
		return fmt.Sprintf("%d (time was up)", g.slots)
	}
	return fmt.Sprint(g.slots)
}

// why lists the refused rewrites by kernel and kind.
func (g *gated) why() string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(g.refused)) {
		var what []string
		for _, w := range slices.Sorted(maps.Keys(g.refused[k])) {
			what = append(what, fmt.Sprintf("%d %s", g.refused[k][w], w))
		}
		name, _, _ := strings.Cut(k, " ")
		out = append(out, name+": "+strings.Join(what, ", "))
	}
	return strings.Join(out, "; ")
}
