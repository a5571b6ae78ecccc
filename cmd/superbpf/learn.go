package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/pass"
	"github.com/superbpf/superbpf/optimizer/rules"
)

type learnSettings struct {
	*ruleSettings
	suite, out string
	mcpu       level
	fresh      bool
}

func (s *ruleSettings) learn() *cobra.Command {
	l := learnSettings{ruleSettings: s}
	c := &cobra.Command{
		Use:   "learn [OBJECT|FOLDER...]",
		Short: "Learn rules from objects or from a suite",
		Long: `Looks in every function of the objects, as compiled and as the passes leave it,
for computations that fewer instructions can do, makes rules of them that are
as general as tests and the solver allow, and adds those to the store. No
program is loaded. Ctrl-C ends the search; what was found until then is kept.`,
		Example: `  superbpf rules learn prog.bpf.o
  superbpf rules learn build/ --out rules.txt
  superbpf rules learn --suite k2`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && l.suite == "" {
				return fail(exitUsage, "name objects or folders, or a suite with --suite")
			}
			return l.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), args)
		},
	}
	f := c.Flags()
	f.StringVar(&l.suite, "suite", "", strings.Join(benchmarks.Suites(), ", ")+", all, or a folder of programs: compiled for v2 and v3 at all levels")
	f.StringVar(&l.out, "out", "", "write the rules as text to this file instead of the store")
	l.mcpu = 4
	f.Var(&l.mcpu, "mcpu", "newest instruction set level to use, v1 to v4")
	f.BoolVar(&l.fresh, "fresh", false, "take no notice of the rules at hand")
	return c
}

// each calls do with every object that was asked for.
func (l *learnSettings) each(ctx context.Context, args []string, do func(name string, raw []byte)) error {
	for _, arg := range args {
		err := filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || ctx.Err() != nil {
				return err
			}
			if path != arg && filepath.Ext(path) != ".o" {
				return nil
			}
			raw, err := os.ReadFile(path)
			if err == nil {
				do(path, raw)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if l.suite == "" {
		return nil
	}
	suite, err := benchmarks.Load(l.suite)
	if err != nil {
		return err
	}
	for _, b := range suite {
		for _, cpu := range []string{"v2", "v3"} {
			for _, level := range benchmarks.Levels {
				if ctx.Err() != nil {
					return nil
				}
				raw, err := b.Compile(ctx, level, cpu)
				if err != nil {
					return err
				}
				do(b.Name+" -"+level+" -mcpu="+cpu, raw)
			}
		}
	}
	return nil
}

// learnSteps bounds the enumeration in one function.
const learnSteps = 20_000_000

func (l *learnSettings) run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	learner := &rules.Learner{MCPU: int(l.mcpu), Solver: l.solver, Budget: learnSteps}
	p := newProgress(stderr)
	objects, unread := 0, 0
	err := l.each(ctx, args, func(name string, raw []byte) {
		if err := l.harvest(ctx, learner, raw); err != nil {
			unread++
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return
		}
		objects++
		p.line(fmt.Sprintf("%d objects, %d sites, %d findings", objects, learner.Sites, learner.Findings()), false)
	})
	p.finish()
	if err != nil {
		return err
	}
	if objects == 0 && ctx.Err() == nil {
		return fail(exitUsage, "no object could be read")
	}
	set := new(rules.Set)
	if !l.fresh {
		if set, err = l.all(); err != nil {
			return err
		}
	}
	// After a Ctrl-C in the harvest, what is there is generalised still.
	gen, cancel := context.WithTimeout(context.WithoutCancel(ctx), generaliseTime(ctx))
	defer cancel()
	added, err := learner.Rules(gen, set, func(done, all int) {
		p.line(fmt.Sprintf("generalising: %d of %d findings", done, all), false)
	})
	p.finish()
	if err != nil && gen.Err() == nil {
		return err
	}
	learned := new(rules.Set)
	for _, r := range added {
		learned.Add(r)
	}
	gone := learned.Prune()
	fmt.Fprintf(stdout, "%d objects, %d slices, %d findings, %d rules (%d more were covered by them)\n",
		objects, learner.Sites, learner.Findings(), len(learned.Rules()), len(gone))
	if l.out != "" {
		var b reportBuffer
		if err := learned.Write(&b); err != nil {
			return err
		}
		return writeFile(l.out, b.Bytes())
	}
	own, err := l.own()
	if err != nil {
		return err
	}
	for _, r := range learned.Rules() {
		own.Add(r)
	}
	return l.save(own)
}

// generaliseTime bounds the second half: short after an interruption.
func generaliseTime(ctx context.Context) time.Duration {
	if ctx.Err() != nil {
		return 20 * time.Second
	}
	return 2 * time.Hour
}

func (l *learnSettings) harvest(ctx context.Context, learner *rules.Learner, raw []byte) error {
	obj, err := elf.Read(raw)
	if err != nil {
		return err
	}
	v, err := equiv.New(equiv.Options{Solver: "none", Callee: obj.Callee})
	if err != nil {
		return err
	}
	defer v.Close()
	passes := pass.All(pass.Config{MCPU: int(l.mcpu), Validator: v})
	for i, f := range obj.Functions() {
		if f.Unsupported == "" && len(obj.Users(i)) > 0 {
			learner.Harvest(ctx, f, passes)
		}
	}
	return nil
}
