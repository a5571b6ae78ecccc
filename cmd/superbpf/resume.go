package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
)

// kindSize is the record that ends a program's part of a run; its Data is an
// outcome.
const kindSize = "size"

// runFile says, in a run's folder of records, what was asked for.
const runFile = "run.json"

// conditions are what an interrupted run must share with the one that resumes it:
// records of different conditions do not go into one table.
func (s *benchSettings) conditions(programs []string) ([]byte, error) {
	return json.MarshalIndent(map[string]any{
		"suite": s.suite, "programs": programs, "input_mcpu": s.cpu, "packets": s.packets, "quick": s.quick, "rates": s.rates, "iface": s.iface,
		"objective": s.objective, "goal": s.goal(), "effort": s.level, "mcpu": s.mcpu, "solver": s.solver, "budget": s.budget.String(), "total_budget": s.total.String(), "steps": s.steps, "seed": s.seed,
		"cost": s.costFile, "learn_cost": s.learnCost, "in_place": s.inPlace, "pcap": s.pcap, "disable": s.disable, "chain": s.chain, "type": s.progType, "kernels": s.kernels, "kernel": loader.Release(),
	}, "", "  ")
}

// newRunDir names the folder of a new run's records below out: the names sort by
// time, and a run right after one that was interrupted has one of its own.
func newRunDir(out string) string {
	return filepath.Join(out, "records", time.Now().UTC().Format("20060102-150405.000000"))
}

// openLog makes the folder of a run's records, or finds that of the last run to
// go on with.
func (s *benchSettings) openLog(programs []string) (measure.Log, error) {
	want, err := s.conditions(programs)
	if err != nil {
		return measure.Log{}, err
	}
	root := filepath.Join(s.out, "records")
	if s.resume {
		runs, err := filepath.Glob(filepath.Join(root, "*", runFile))
		if err != nil {
			return measure.Log{}, err
		}
		if len(runs) == 0 {
			return measure.Log{}, fail(exitUsage, "%s holds no run to resume", root)
		}
		last := slices.Max(runs)
		have, err := os.ReadFile(last)
		if err != nil {
			return measure.Log{}, err
		}
		if !bytes.Equal(have, want) {
			return measure.Log{}, fail(exitUsage, "the last run was another one: see %s; give the same options, or run without --resume", last)
		}
		return measure.Log{Dir: filepath.Dir(last)}, nil
	}
	dir := newRunDir(s.out)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return measure.Log{}, err
	}
	return measure.Log{Dir: dir}, writeFile(filepath.Join(dir, runFile), want)
}

// finished returns what an interrupted run found out about a program, nil if it did
// not get to its end.
func finished(log measure.Log, program string) (*outcome, error) {
	if !log.Has(kindSize, program) {
		return nil, nil
	}
	records, err := log.Read(kindSize)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if r.Key == program {
			o := new(outcome)
			return o, r.Decode(o)
		}
	}
	return nil, fmt.Errorf("the record of %s is about another program", program)
}

// discard removes what an interrupted run left of a program's records.
func discard(log measure.Log, program string) error {
	var errs []error
	for _, kind := range []string{measure.KindDiffer, measure.KindLatency, measure.KindThroughput, kindInterface} {
		for try := range maxTries + 1 {
			errs = append(errs, log.Remove(kind, tryKey(program, try)))
		}
	}
	for _, kind := range []string{measure.KindRate, measure.KindLoad} {
		for try := range maxTries + 1 {
			for side := range 2 {
				errs = append(errs, log.Remove(kind, sideKey(tryKey(program, try), side)))
			}
		}
	}
	return errors.Join(errs...)
}

// tryKey names the records of a program's try.
func tryKey(program string, try int) string {
	if try == 0 {
		return program
	}
	return fmt.Sprintf("%s.%d", program, try)
}

// kindInterface is a measurement on a network interface; its Data is an
// InterfaceResult.
const kindInterface = "interface"
