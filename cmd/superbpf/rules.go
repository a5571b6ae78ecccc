package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/optimizer/rules"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// ruleSettings are the options of the rules commands.
type ruleSettings struct{ store, solver string }

func rulesCommand() *cobra.Command {
	var s ruleSettings
	c := &cobra.Command{
		Use:   "rules",
		Short: "List, prove, learn and keep rewrite rules",
		Long: `Rules are rewrites that were found once and hold in general. A set that was
learned from the benchmark suites and from kernel test programs comes with the
program; a store holds those that you learn from your own objects. 'optimize'
uses both. A rule is never trusted: each use is proved again.`,
		Example: `  superbpf rules list
  superbpf rules learn my-objects/ prog.bpf.o
  superbpf rules export > rules.txt`,
	}
	path, err := rules.StorePath()
	if err != nil {
		path = ""
	}
	c.PersistentFlags().StringVar(&s.store, "store", path, "the store of learned rules")
	c.PersistentFlags().StringVar(&s.solver, "solver", "auto", "go-z3, z3, cvc5 or auto")
	c.AddCommand(s.list(), s.show(), s.prove(), s.prune(), s.learn(), s.export(), s.importFile())
	return c
}

// all is the default set with the store's rules.
func (s *ruleSettings) all() (*rules.Set, error) { return rules.WithStore(s.store) }

// own are the store's rules alone.
func (s *ruleSettings) own() (*rules.Set, error) {
	set := new(rules.Set)
	st, err := rules.OpenStore(s.store, false)
	if errors.Is(err, fs.ErrNotExist) {
		return set, nil
	}
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return set, st.Load(set)
}

func (s *ruleSettings) save(set *rules.Set) error {
	if s.store == "" {
		return fail(exitUsage, "there is no home folder to keep the store in: name it with --store FILE")
	}
	st, err := rules.OpenStore(s.store, true)
	if err != nil {
		return err
	}
	err = st.Replace(set.Rules())
	return errors.Join(err, st.Close())
}

func (s *ruleSettings) list() *cobra.Command {
	var verbose bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the rules in use, with their names",
		Example: "  superbpf rules list",
		Args:    exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			set, err := s.all()
			if err != nil {
				return err
			}
			proved := 0
			for _, r := range set.Rules() {
				fmt.Fprintf(c.OutOrStdout(), "%s  %s\n", r.ID(), r)
				if r.Proved {
					proved++
				}
			}
			if verbose {
				fmt.Fprintf(c.OutOrStdout(), "%d rules, %d proved in general form\n", len(set.Rules()), proved)
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "end with a count")
	return c
}

// pick finds rules by names or the beginnings of names; all without any.
func pick(set *rules.Set, names []string) ([]*rules.Rule, error) {
	if len(names) == 0 {
		return set.Rules(), nil
	}
	var out []*rules.Rule
	for _, n := range names {
		found := false
		for _, r := range set.Rules() {
			if strings.HasPrefix(r.ID(), n) {
				out = append(out, r)
				found = true
			}
		}
		if !found {
			return nil, fail(exitUsage, "no rule %q; see superbpf rules list", n)
		}
	}
	return out, nil
}

func (s *ruleSettings) show() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME...",
		Short: "Explain rules: both sides, conditions, and an example",
		Example: `  superbpf rules show 1b2c3d4e
  superbpf rules show 1b`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fail(exitUsage, "name at least one rule; see superbpf rules list")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			set, err := s.all()
			if err != nil {
				return err
			}
			list, err := pick(set, args)
			if err != nil {
				return err
			}
			for _, r := range list {
				if err := r.Explain(c.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (s *ruleSettings) prove() *cobra.Command {
	return &cobra.Command{
		Use:   "prove [NAME...]",
		Short: "Prove rules in general form, all of them without a name",
		Example: `  superbpf rules prove
  superbpf rules prove 1b2c3d4e --solver cvc5`,
		RunE: func(c *cobra.Command, args []string) error {
			set, err := s.all()
			if err != nil {
				return err
			}
			list, err := pick(set, args)
			if err != nil {
				return err
			}
			wrong, lost := 0, 0
			for _, r := range list {
				if c.Context().Err() != nil {
					return errors.New("interrupted")
				}
				v, err := r.Prove(c.Context(), s.solver)
				if err != nil {
					return err
				}
				word := map[smt.Result]string{smt.Unsat: "proved", smt.Sat: "WRONG", smt.Unknown: "undecided"}[v]
				fmt.Fprintf(c.OutOrStdout(), "%s  %-9s  %s\n", r.ID(), word, r.Text())
				if v == smt.Sat {
					wrong++
				}
				if r.Proved && v != smt.Unsat {
					lost++
				}
			}
			if wrong+lost > 0 {
				return fail(exitUnproved, "%d of %d rules are wrong, %d called proved could not be proved", wrong, len(list), lost)
			}
			return nil
		},
	}
}

func (s *ruleSettings) prune() *cobra.Command {
	return &cobra.Command{
		Use:   "prune",
		Short: "Remove from the store what is wrong or what other rules cover",
		Long: `Removes from the store the rules that the solver refutes, those that come with
the program, and those that another rule of the store covers.`,
		Example: "  superbpf rules prune",
		Args:    exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			set, err := s.own()
			if err != nil {
				return err
			}
			shipped, err := rules.Default()
			if err != nil {
				return err
			}
			keep := new(rules.Set)
			for _, r := range set.Rules() {
				v, err := r.Prove(c.Context(), s.solver)
				if err != nil {
					return err
				}
				switch {
				case v == smt.Sat:
					fmt.Fprintf(c.OutOrStdout(), "wrong: %s\n", r)
				case shipped.Covers(r):
					fmt.Fprintf(c.OutOrStdout(), "covered: %s\n", r)
				default:
					keep.Add(r)
				}
			}
			for _, r := range keep.Prune() {
				fmt.Fprintf(c.OutOrStdout(), "covered: %s\n", r)
			}
			if len(keep.Rules()) == len(set.Rules()) {
				return nil
			}
			return s.save(keep)
		},
	}
}

func (s *ruleSettings) export() *cobra.Command {
	var mine, pruned bool
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the rules as text, one a line",
		Example: `  superbpf rules export > all.txt
  superbpf rules export --own > mine.txt
  superbpf rules export --pruned > all.txt`,
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			get := s.all
			if mine {
				get = s.own
			}
			set, err := get()
			if err != nil {
				return err
			}
			if pruned {
				set.Prune()
			}
			return set.Write(c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&mine, "own", false, "only those of the store")
	c.Flags().BoolVar(&pruned, "pruned", false, "leave out rules that others cover")
	return c
}

func (s *ruleSettings) importFile() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Add rules from a text to the store; - reads standard input",
		Long: `Adds the rules of a text to the store. Each is proved anew: one that is wrong is
refused, and one that cannot be proved in general form is kept as such.`,
		Example: "  superbpf rules import mine.txt",
		Args:    exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in := io.Reader(os.Stdin)
			if args[0] != "-" {
				b, err := os.ReadFile(args[0])
				if err != nil {
					return err
				}
				in = bytes.NewReader(b)
			}
			read := new(rules.Set)
			if err := read.Read(in, args[0]); err != nil {
				return fail(exitUsage, "%v", err)
			}
			set, err := s.own()
			if err != nil {
				return err
			}
			n, err := addProved(c.Context(), set, read.Rules(), s.solver)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%d rules added to %s\n", n, s.store)
			return s.save(set)
		},
	}
}

// addProved adds rules that the solver does not refute.
func addProved(ctx context.Context, set *rules.Set, list []*rules.Rule, solver string) (int, error) {
	n := 0
	for _, r := range list {
		v, err := r.Prove(ctx, solver)
		if err != nil {
			return n, err
		}
		if v == smt.Sat {
			return n, fail(exitUnproved, "this rule is wrong, nothing was imported: %s", r)
		}
		r.Proved = v == smt.Unsat
		if set.Add(r) {
			n++
		}
	}
	return n, nil
}
