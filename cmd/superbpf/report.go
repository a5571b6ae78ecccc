package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// reportOptions are the flags of report.
type reportOptions struct {
	out     string
	kinds   []string
	verbose bool
	asJSON  bool
}

// reported is what report found, and what report --json prints.
type reported struct {
	Objects []*objectReport `json:"objects,omitempty"`
	Runs    []*recordedRun  `json:"runs,omitempty"`
}

func reportCommand() *cobra.Command {
	var o reportOptions
	c := &cobra.Command{
		Use:   "report PATH...",
		Short: "Tell what was done to objects, and make the tables of recorded runs anew",
		Long: `Reports about what other commands wrote. A path is

  an object that 'superbpf optimize' wrote: a row for each function, from the
      certificate beside it, with what its proof assumes and who accepted it; with
      -v also OUT.o.report.txt, each rewrite with the code before and after;
  a folder with such objects: a row for each object, and their sum;
  a folder of records, or the --out folder of 'superbpf bench run', 'bench control'
      or 'measure' (then of its last run): the tables, made from the records alone.
      --kind shows those of other kinds of records; --out writes all of them as
      .md and .tsv instead.

Nothing is proved, loaded or measured: 'superbpf verify' proves again, and
'superbpf measure' measures. It needs no root.

Exit code 0: reported. 1: something could not be read, or a certificate is not
about the object beside it. 2: wrong command line.`,
		Example: `  superbpf report xdp.opt.o
  superbpf report -v xdp.opt.o
  superbpf report build/
  superbpf report results/
  superbpf report results/ --kind latency,throughput
  superbpf report results/records/20260102-030405.000000 --out tables/`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fail(exitUsage, "name objects, folders or records; usage: %s", c.UseLine())
			}
			return runReport(c.OutOrStdout(), args, &o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.out, "out", "", "folder for the tables of recorded runs (default: print them)")
	f.StringSliceVar(&o.kinds, "kind", nil, "kinds of records to print the tables of, or all (default: the suite's table, where there is one)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "also print the report of each object, rewrite by rewrite")
	f.BoolVar(&o.asJSON, "json", false, "print JSON instead of tables")
	return c
}

func runReport(w io.Writer, paths []string, o *reportOptions) error {
	var all reported
	single := true
	for _, p := range paths {
		st, err := os.Stat(p)
		if err != nil {
			return err
		}
		if !st.IsDir() {
			r, err := reportObject(p)
			if err != nil {
				return err
			}
			all.Objects = append(all.Objects, r)
			continue
		}
		single = false
		var objects []*objectReport
		if len(o.kinds) == 0 && o.out == "" { // otherwise records are meant
			if objects, err = reportFolder(p); err != nil {
				return err
			}
			all.Objects = append(all.Objects, objects...)
		}
		run, err := readRun(p)
		if err != nil {
			return err
		}
		if run != nil {
			all.Runs = append(all.Runs, run)
		}
		if len(objects) == 0 && run == nil {
			return fail(exitUsage, "%s holds neither objects with a certificate nor records: 'superbpf optimize' and 'superbpf bench run' write such", p)
		}
	}
	if err := all.write(w, single, o); err != nil {
		return err
	}
	foreign := 0
	for _, r := range all.Objects {
		if r.Problem != "" {
			foreign++
		}
	}
	if foreign > 0 {
		return fmt.Errorf("%d of %d certificates say nothing about the object beside them: optimize these again, or remove what is left over", foreign, len(all.Objects))
	}
	return nil
}

func (all *reported) write(w io.Writer, single bool, o *reportOptions) error {
	if o.out != "" {
		for _, r := range all.Runs {
			if err := r.writeTables(o.out); err != nil {
				return err
			}
			if !o.asJSON {
				if _, err := fmt.Fprintf(w, "records: %s, tables: %s\n", r.Folder, o.out); err != nil {
					return err
				}
			}
		}
	}
	if o.asJSON {
		return printJSON(w, all)
	}
	if single {
		for _, r := range all.Objects {
			if err := r.write(w); err != nil {
				return err
			}
		}
	} else if len(all.Objects) > 0 {
		if err := writeObjects(w, all.Objects); err != nil {
			return err
		}
	}
	if o.verbose {
		for _, r := range all.Objects {
			if err := copyReport(w, r.Object+".report.txt"); err != nil {
				return err
			}
		}
	}
	if o.out != "" {
		return nil
	}
	for _, r := range all.Runs {
		if err := r.write(w, o); err != nil {
			return err
		}
	}
	return nil
}

// copyReport prints the report beside an object; none is no error.
func copyReport(w io.Writer, path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s:\n\n%s", filepath.Base(path), b)
	return err
}
