package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/pipeline"
)

type engineSettings struct {
	settings
	suite, cpu, out string
	chainBudget     time.Duration // a function, in the rows with the chain
}

func benchEnginesCommand() *cobra.Command {
	var s engineSettings
	c := &cobra.Command{
		Use:   "engines [OBJECT|FOLDER...]",
		Short: "Tell how much each engine finds, with each switched off in turn",
		Long: `Optimizes every object with all engines (passes, rules, enumeration, other orders of
the passes, and the chain at -O3), then with each of them switched off, and writes how many slots
are left to OUT/engines.md and OUT/engines.tsv. Below -O3 two rows tell what the chain would add in
--chain-budget, and what it finds alone. Nothing is timed. Without
objects, the programs of a suite are compiled at -O2. Ctrl-C writes the table of the objects that were done.`,
		Example: `  sudo superbpf bench engines --suite k2 --input-mcpu v3
  sudo superbpf bench engines build/ -O3 --budget 30s`,
		RunE: func(c *cobra.Command, args []string) error {
			return s.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), args)
		},
	}
	s.flags(c)
	f := c.Flags()
	f.StringVar(&s.suite, "suite", "k2", strings.Join(benchmarks.Suites(), ", ")+", all, or a folder of programs")
	f.StringVar(&s.cpu, "input-mcpu", "v2", "instruction set level that clang compiles a suite for")
	f.StringVar(&s.out, "out", "results", "folder for the tables")
	f.DurationVar(&s.chainBudget, "chain-budget", 10*time.Second, "search for each function, beyond that of -O2, in the rows with the chain; 0 leaves them out")
	return c
}

// engineRow is the sum over all objects under one choice of engines.
type engineRow struct {
	label   string
	off     []string // the engines left out
	chain   bool     // -O3 in the time of -O2 and the chain's budget
	slots   int
	stopped int            // functions whose budget ran out
	kept    map[string]int // slots saved, by engine
	steps   map[string]int // rewrites kept, by engine
}

// engineOf is the engine that a transform belongs to.
func engineOf(transform string) string {
	for _, e := range engines[1:] {
		if e == transform {
			return e
		}
	}
	return engines[0]
}

func (s *engineSettings) run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	var names []string
	objects := map[string][]byte{}
	add := func(name string, raw []byte) {
		names = append(names, name)
		objects[name] = raw
	}
	if err := s.inputs(ctx, args, add); err != nil {
		return err
	}
	rows := s.rows()
	before, done, skipped := 0, 0, 0
	p := newProgress(stderr)
	for _, name := range names {
		sums := make([]*engineRow, len(rows))
		start := 0
		var err error
		for i, r := range rows {
			if sums[i], start, err = s.one(ctx, p, name, objects[name], r); err != nil || ctx.Err() != nil {
				break
			}
		}
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			skipped++
			fmt.Fprintf(stderr, "%s: left out: %v\n", name, err)
			continue
		}
		done++
		before += start
		for i, r := range rows {
			r.merge(sums[i])
		}
	}
	p.finish()
	if done == 0 {
		return errors.New("no object was done")
	}
	what := fmt.Sprintf("%d objects", done)
	if len(args) == 0 {
		what = fmt.Sprintf("%d programs of suite %s, compiled with -O2 -mcpu=%s", done, s.suite, s.cpu)
	}
	if err := s.write(stdout, rows, before, what, skipped); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted after %d of %d objects", done, len(names))
	}
	return nil
}

// rows are the choices of engines, all of them first.
func (s *engineSettings) rows() []*engineRow {
	rows := []*engineRow{{label: "all"}}
	chain := s.level >= 3 || s.chain != ""
	for _, e := range engines {
		if e != "chain" || chain {
			rows = append(rows, &engineRow{label: "without " + e, off: []string{e}})
		}
	}
	if !chain && s.chainBudget > 0 {
		rows = append(rows, &engineRow{label: fmt.Sprintf("all and the chain, %v", s.chainBudget), chain: true},
			&engineRow{label: fmt.Sprintf("the chain alone, %v", s.chainBudget), chain: true, off: engines[:len(engines)-1]})
	}
	return rows
}

func (r *engineRow) merge(x *engineRow) {
	r.slots += x.slots
	r.stopped += x.stopped
	if r.kept == nil {
		r.kept, r.steps = map[string]int{}, map[string]int{}
	}
	for e, n := range x.kept {
		r.kept[e] += n
		r.steps[e] += x.steps[e]
	}
}

// inputs calls add with each object.
func (s *engineSettings) inputs(ctx context.Context, args []string, add func(string, []byte)) error {
	for _, arg := range args {
		err := filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || path != arg && filepath.Ext(path) != ".o" {
				return err
			}
			raw, err := os.ReadFile(path)
			if err == nil {
				add(path, raw)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if len(args) > 0 {
		return nil
	}
	suite, err := benchmarks.Load(s.suite)
	if err != nil {
		return err
	}
	for _, b := range suite {
		raw, err := b.Compile(ctx, "O2", s.cpu)
		if err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
		add(b.Name, raw)
	}
	return nil
}

// one optimizes an object with a row's engines and adds up what is left of the
// functions that could be worked on, and what they were before.
func (s *engineSettings) one(ctx context.Context, p *progress, name string, raw []byte, r *engineRow) (*engineRow, int, error) {
	set := s.settings
	set.disable = slices.Concat(s.disable, r.off)
	if r.chain {
		set.level, set.extra = 3, s.chainBudget
	}
	opt, err := newOptimization(ctx, name, raw, &set)
	if err != nil {
		return nil, 0, err
	}
	defer opt.Close()
	opt.Options.Progress = p.event
	res, err := pipeline.Optimize(ctx, opt.Object, opt.Options)
	if err != nil {
		return nil, 0, err
	}
	row := &engineRow{kept: map[string]int{}, steps: map[string]int{}}
	before := 0
	for _, f := range res.Functions {
		if f.Skipped != "" {
			continue
		}
		before += f.Before.Slots
		row.slots += f.After.Slots
		if f.Cut {
			row.stopped++
		}
		for t, st := range f.Stats {
			row.kept[engineOf(t)] += st.Slots
			row.steps[engineOf(t)] += st.Kept
		}
	}
	return row, before, nil
}

func (s *engineSettings) write(stdout io.Writer, rows []*engineRow, before int, what string, skipped int) error {
	t := measure.Table{Header: []string{"engines", "slots left", "saved", "lost without it"}}
	for _, e := range engines {
		if e != orders {
			t.Header = append(t.Header, "by "+e)
		}
	}
	t.Header = append(t.Header, "functions out of budget")
	for _, r := range rows {
		lost := ""
		if len(r.off) == 1 {
			lost = fmt.Sprint(r.slots - rows[0].slots)
		}
		cells := []string{r.label, fmt.Sprint(r.slots), percent(before, r.slots), lost}
		for _, e := range engines {
			if e == orders {
				continue
			}
			cells = append(cells, fmt.Sprintf("%d slots, %d rewrites", r.kept[e], r.steps[e]))
		}
		t.Rows = append(t.Rows, append(cells, fmt.Sprint(r.stopped)))
	}
	var md, tsv bytes.Buffer
	fmt.Fprintf(&md, "# What each engine finds\n\nGenerated by `superbpf bench engines`: %s (%d more could not be read or loaded), %d slots before, objective %s, -O%d, budget %v a function, seed %d, Linux %s.\n\n",
		what, skipped, before, s.objective, s.level, s.budget, s.seed, measure.CurrentEnv().Kernel)
	if err := errors.Join(t.Markdown(&md), t.TSV(&tsv)); err != nil {
		return err
	}
	if err := os.MkdirAll(s.out, 0o777); err != nil {
		return err
	}
	if _, err := stdout.Write(md.Bytes()); err != nil {
		return err
	}
	return errors.Join(writeFile(filepath.Join(s.out, "engines.md"), md.Bytes()), writeFile(filepath.Join(s.out, "engines.tsv"), tsv.Bytes()))
}
