package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/measure"
)

// recordedRun is a folder of records.
type recordedRun struct {
	Folder string `json:"folder"`
	// Run holds what was asked for, where the run keeps that.
	Run json.RawMessage `json:"run,omitempty"`
	// Programs are a suite's outcomes, in the suite's order; Records counts the
	// records by kind.
	Programs []*outcome     `json:"programs,omitempty"`
	Records  map[string]int `json:"records"`

	log    measure.Log
	kernel string // that the records were made on
}

// runConditions are those of a run's conditions that its tables name.
type runConditions struct {
	Suite     string   `json:"suite"`
	Programs  []string `json:"programs"`
	InputMCPU string   `json:"input_mcpu"`
	Objective string   `json:"objective"`
	Goal      string   `json:"goal"`
	Seed      int64    `json:"seed"`
}

// readRun reads the records in a folder, or of the last run below it; nil if there
// are none.
func readRun(dir string) (*recordedRun, error) {
	r := &recordedRun{Folder: dir, Records: map[string]int{}}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.jsonl"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		runs, err := filepath.Glob(filepath.Join(dir, "records", "*", "*", "*.jsonl"))
		if err != nil || len(runs) == 0 {
			return nil, err
		}
		r.Folder = filepath.Dir(filepath.Dir(slices.Max(runs)))
		if files, err = filepath.Glob(filepath.Join(r.Folder, "*", "*.jsonl")); err != nil {
			return nil, err
		}
	}
	r.log = measure.Log{Dir: r.Folder}
	for _, f := range files {
		r.Records[filepath.Base(filepath.Dir(f))] = 0
	}
	for kind := range r.Records {
		records, err := r.log.Read(kind)
		if err != nil {
			return nil, err
		}
		r.Records[kind] = len(records)
		for _, rec := range records {
			r.kernel = rec.Env.Kernel
			if kind != kindSize {
				continue
			}
			o := new(outcome)
			if err := rec.Decode(o); err != nil {
				return nil, err
			}
			r.Programs = append(r.Programs, o)
		}
	}
	b, err := os.ReadFile(filepath.Join(r.Folder, runFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	} else if err != nil {
		return nil, err
	}
	r.Run = b
	c, err := r.conditions()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.Programs, func(a, b *outcome) int {
		return slices.Index(c.Programs, a.Program) - slices.Index(c.Programs, b.Program)
	})
	return r, nil
}

// conditions are those of the run; what it does not say is empty.
func (r *recordedRun) conditions() (c runConditions, err error) {
	if r.Run != nil {
		if err := json.Unmarshal(r.Run, &c); err != nil {
			return c, fmt.Errorf("%s: %w", filepath.Join(r.Folder, runFile), err)
		}
	}
	if c.Goal == "" {
		c.Goal = c.Objective
	}
	return c, nil
}

// table makes the table of a kind of records; nil where it has none.
func (r *recordedRun) table(kind string) (*measure.Table, error) {
	tabulate := measure.Tables[kind]
	if kind == kindControl {
		tabulate = measure.ControlTable
	}
	if tabulate == nil {
		return nil, nil
	}
	records, err := r.log.Read(kind)
	if err != nil {
		return nil, err
	}
	return tabulate(records)
}

// write prints the suite's table, or those of the kinds asked for.
func (r *recordedRun) write(w io.Writer, o *reportOptions) error {
	if len(r.Programs) > 0 && len(o.kinds) == 0 {
		if err := sizeTable(w, r.Programs); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w, summary(r.Programs)); err != nil {
			return err
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Records)) {
		switch asked := slices.Contains(o.kinds, kind) || slices.Contains(o.kinds, "all"); {
		case asked, len(o.kinds) == 0 && len(r.Programs) == 0:
			t, err := r.table(kind)
			if err != nil {
				return err
			}
			if t == nil {
				_, err = fmt.Fprintf(w, "%s: %d records, which have no table of their own\n", kind, r.Records[kind])
			} else if err = t.Markdown(w); err == nil {
				_, err = fmt.Fprintln(w)
			}
			if err != nil {
				return err
			}
		}
	}
	for _, kind := range o.kinds {
		if kind != "all" && r.Records[kind] == 0 {
			return fail(exitUsage, "--kind: %s has no records of kind %q; it has %v", r.Folder, kind, slices.Sorted(maps.Keys(r.Records)))
		}
	}
	_, err := fmt.Fprintf(w, "records: %s, Linux %s\n", r.Folder, r.kernel)
	return err
}

// writeTables writes the tables as the command did that made the records.
func (r *recordedRun) writeTables(dir string) error {
	if len(r.Programs) == 0 {
		for kind := range r.Records {
			t, err := r.table(kind)
			if err != nil {
				return err
			}
			if t == nil {
				continue
			}
			if err := writeTables(dir, kind, "", t); err != nil {
				return err
			}
		}
		return nil
	}
	c, err := r.conditions()
	if err != nil {
		return err
	}
	if c.Suite == "" {
		return fmt.Errorf("%s is missing: the tables cannot say what they are of", filepath.Join(r.Folder, runFile))
	}
	// A suite that is not here any more was perhaps not run whole.
	suite, err := benchmarks.Load(c.Suite)
	whole := err == nil && len(r.Programs) == len(suite)
	return writeBenchTables(dir, benchTitle{c.Suite, c.InputMCPU, c.Objective, c.Goal, r.kernel, c.Seed}, r.Programs, whole)
}
