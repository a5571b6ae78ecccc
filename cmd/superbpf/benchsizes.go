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
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/pipeline"
)

type sizesSettings struct {
	settings
	suite, out string
	levels     []string
	jobs       int
}

func benchSizesCommand() *cobra.Command {
	var s sizesSettings
	c := &cobra.Command{
		Use:   "sizes [OBJECT.o | FOLDER ...]",
		Short: "Optimize a suite at every instruction set level, or any objects, and compare sizes",
		Long: `Optimizes without timing and tabulates the slots before and after: those that are
loaded, of a subprogram with each program that contains it. Without
arguments: a suite, for each instruction set level the best that clang -O1, -O2,
-O3 and -Os give. With arguments: those objects, and all of those folders, as they
are. What the kernel refuses or nobody can read is counted apart.

Tables go to OUT. Exit code 1 if an object failed in a way that it should not have.`,
		Example: `  sudo superbpf bench sizes
  sudo superbpf bench sizes --suite modern --input-mcpu v3,v4
  sudo superbpf bench sizes --out /tmp/sizes /usr/lib/bpf other.bpf.o`,
		RunE: func(c *cobra.Command, args []string) error {
			if os.Geteuid() != 0 {
				return loader.ErrPrivilege
			}
			gates, err := openGates(c.Context(), s.kernels, s.progType, c.ErrOrStderr())
			if err != nil {
				return err
			}
			defer gates.Close()
			s.gates = gates
			if len(args) > 0 {
				return s.objects(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), args)
			}
			return s.levelsOf(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	s.flags(c)
	f := c.Flags()
	f.StringVar(&s.suite, "suite", "k2", strings.Join(benchmarks.Suites(), ", ")+", all, or a folder of programs")
	f.StringSliceVar(&s.programs, "programs", nil, "only these programs of the suite")
	f.StringSliceVar(&s.levels, "input-mcpu", []string{"v1", "v2", "v3", "v4"}, "instruction set levels that clang compiles a suite for")
	f.StringVar(&s.out, "out", "results", "folder for the tables")
	f.IntVarP(&s.jobs, "jobs", "j", runtime.NumCPU(), "objects to optimize at the same time")
	return c
}

// shrunk is what became of one object.
type shrunk struct {
	name          string
	before, after int // slots loaded with the programs that the kernel accepts
	refused       int // functions of programs that it does not
	took          time.Duration
	err           error
}

func (r shrunk) saved() float64 {
	if r.before == 0 {
		return 0
	}
	return 100 * float64(r.before-r.after) / float64(r.before)
}

func (r shrunk) String() string {
	switch {
	case r.err != nil:
		return "failed: " + r.err.Error()
	case r.before == 0:
		return "nothing that the kernel accepts"
	}
	return fmt.Sprintf("%d -> %d (%.1f %%)", r.before, r.after, r.saved())
}

// shrink optimizes one object and has the kernel confirm the result.
func (s *sizesSettings) shrink(ctx context.Context, name string, raw []byte) (r shrunk) {
	r.name = name
	start := time.Now()
	defer func() { r.took = time.Since(start) }()
	one := s.settings // each object's options are its own
	opt, err := newOptimization(ctx, name, raw, &one)
	if err != nil {
		r.err = err
		return r
	}
	defer opt.Close()
	res, err := pipeline.Optimize(ctx, opt.Object, opt.Options)
	if err != nil {
		r.err = err
		return r
	}
	for _, fr := range res.Functions {
		if fr.Skipped != "" {
			r.refused++
		}
	}
	r.before, r.after = res.LoadedSlots()
	return r
}

// each runs the n jobs side by side and tells what came of them as they end.
func (s *sizesSettings) each(ctx context.Context, stderr io.Writer, n int, job func(i int) shrunk) []shrunk {
	out := make([]shrunk, n)
	ended := make(chan int)
	var g errgroup.Group
	g.SetLimit(max(s.jobs, 1))
	go func() {
		for i := range n {
			g.Go(func() error {
				if ctx.Err() == nil {
					out[i] = job(i)
				} else {
					out[i].err = ctx.Err()
				}
				ended <- i
				return nil
			})
		}
		g.Wait()
		close(ended)
	}()
	done := 0
	for i := range ended {
		done++
		fmt.Fprintf(stderr, "[%d/%d] %s: %v, %.1f s\n", done, n, out[i].name, out[i], out[i].took.Seconds())
	}
	return out
}

// chosen is the programs of the suite that --programs names, or all. The names are
// used up: an object's functions have names of their own.
func (s *sizesSettings) chosen() ([]*benchmarks.Bench, error) {
	suite, err := benchmarks.Load(s.suite)
	if err != nil {
		return nil, err
	}
	if len(s.programs) > 0 {
		suite = slices.DeleteFunc(suite, func(b *benchmarks.Bench) bool { return !slices.Contains(s.programs, b.Name) })
		s.programs = nil
	}
	if len(suite) == 0 {
		return nil, fail(exitUsage, "the suite has no such program")
	}
	return suite, nil
}

// levelsOf tabulates a suite: a row a program, a column a level.
func (s *sizesSettings) levelsOf(ctx context.Context, stdout, stderr io.Writer) error {
	suite, err := s.chosen()
	if err != nil {
		return err
	}
	n := len(s.levels)
	all := s.each(ctx, stderr, len(suite)*n, func(i int) shrunk {
		b, cpu := suite[i/n], s.levels[i%n]
		name := b.Name + " " + cpu
		raw, err := compileBest(ctx, b, cpu, s.gates, &outcome{Sizes: map[string]int{}})
		if err != nil {
			return shrunk{name: name, err: err}
		}
		return s.shrink(ctx, name, raw)
	})
	t := measure.Table{Header: []string{"program"}}
	for _, cpu := range s.levels {
		t.Header = append(t.Header, "clang "+cpu, "superbpf", "saved")
	}
	t.Header = append(t.Header, "K2 saved")
	for i, b := range suite {
		row := []string{b.Name}
		for _, r := range all[i*n : (i+1)*n] {
			if r.err != nil {
				row = append(row, "", "", r.String())
				continue
			}
			row = append(row, fmt.Sprint(r.before), fmt.Sprint(r.after), fmt.Sprintf("%.1f %%", r.saved()))
		}
		k2 := ""
		if p, ok := benchmarks.Paper(b.Paper); ok {
			k2 = fmt.Sprintf("%.1f %%", p.Reduction())
		}
		t.Rows = append(t.Rows, append(row, k2))
	}
	mean := []string{"mean"}
	for l := range n {
		sum, count := 0.0, 0
		for i := range suite {
			if r := all[i*n+l]; r.err == nil {
				sum, count = sum+r.saved(), count+1
			}
		}
		mean = append(mean, "", "", fmt.Sprintf("%.1f %%", sum/float64(max(count, 1))))
	}
	t.Rows = append(t.Rows, append(mean, ""))
	t.Title = fmt.Sprintf("Slots of suite %s, objective %s, -O%d", filepath.Base(s.suite), s.goal(), s.level)
	t.Notes = []string{"For each instruction set level: the best of clang -O1, -O2, -O3 and -Os, and superbpf from that. K2's percentage is the paper's, for its own programs at v2; its rewrites turn plain read-modify-writes into atomic operations, as superbpf does for size alone."}
	return s.finish(ctx, stdout, &t, filepath.Base(s.suite)+"-levels-"+s.goal(), all)
}

// goal names the objective, and what is allowed for it.
func (s *settings) goal() string {
	switch size, atomics := s.objective == "size", s.allowAtomics(); {
	case s.preserve:
		return s.objective + "-preserved"
	case size && !atomics:
		return s.objective + "-plain"
	case !size && atomics:
		return s.objective + "-atomics"
	}
	return s.objective
}

// objects tabulates any objects: a row an object.
func (s *sizesSettings) objects(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	files, err := objectFiles(args)
	if err != nil {
		return err
	}
	all := s.each(ctx, stderr, len(files), func(i int) shrunk {
		raw, err := os.ReadFile(files[i])
		if err != nil {
			return shrunk{name: files[i], err: err}
		}
		return s.shrink(ctx, files[i], raw)
	})
	t := measure.Table{Title: fmt.Sprintf("Slots, objective %s, -O%d", s.goal(), s.level), Header: []string{"object", "before", "after", "saved", "functions refused", "note"}}
	sum := shrunk{}
	for _, r := range all {
		note := ""
		if r.err != nil {
			note = r.err.Error()
		}
		t.Rows = append(t.Rows, []string{filepath.Base(r.name), fmt.Sprint(r.before), fmt.Sprint(r.after), fmt.Sprintf("%.1f %%", r.saved()), fmt.Sprint(r.refused), note})
		sum.before, sum.after, sum.refused = sum.before+r.before, sum.after+r.after, sum.refused+r.refused
	}
	t.Rows = append(t.Rows, []string{"all", fmt.Sprint(sum.before), fmt.Sprint(sum.after), fmt.Sprintf("%.1f %%", sum.saved()), fmt.Sprint(sum.refused), ""})
	return s.finish(ctx, stdout, &t, "objects-"+s.goal(), all)
}

// objectFiles lists the objects among files and in folders, also where links lead
// to them; links to folders inside a folder are not followed.
func objectFiles(args []string) ([]string, error) {
	var files []string
	for _, a := range args {
		st, err := os.Stat(a)
		if err != nil {
			return nil, err
		}
		if !st.IsDir() {
			files = append(files, a)
			continue
		}
		if a, err = filepath.EvalSymlinks(a); err != nil {
			return nil, err
		}
		err = filepath.WalkDir(a, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".o") {
				return err
			}
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, fail(exitUsage, "no objects (*.o) in %s", strings.Join(args, ", "))
	}
	return files, nil
}

// finish writes and prints a table.
func (s *sizesSettings) finish(ctx context.Context, stdout io.Writer, t *measure.Table, name string, all []shrunk) error {
	if ctx.Err() != nil {
		return errors.New("interrupted: earlier tables are left as they were")
	}
	var md, tsv bytes.Buffer
	if err := errors.Join(t.Markdown(&md), t.TSV(&tsv), os.MkdirAll(s.out, 0o777)); err != nil {
		return err
	}
	if err := errors.Join(writeFile(filepath.Join(s.out, name+".md"), md.Bytes()), writeFile(filepath.Join(s.out, name+".tsv"), tsv.Bytes())); err != nil {
		return err
	}
	if _, err := stdout.Write(md.Bytes()); err != nil {
		return err
	}
	failed := 0
	for _, r := range all {
		if r.err != nil {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d failed", failed, len(all))
	}
	return nil
}
