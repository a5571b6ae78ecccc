package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
)

// kindControl is a session that measures a program against itself; its Data is a
// LatencyResult.
const kindControl = "control"

func benchControlCommand() *cobra.Command {
	var s benchSettings
	var sessions int
	c := &cobra.Command{
		Use:   "control",
		Short: "Measure programs against themselves: how far verdicts can be trusted",
		Long: `Times each program of a suite against a second copy of itself, over and over,
with the settings and the statistics that decide between rewrites. Every verdict
other than "no difference" is wrong; the width of the intervals is the smallest
difference that a session can find. Writes OUT/control.md and .tsv.`,
		Example: `  sudo superbpf bench control
  sudo superbpf bench control --programs xdp_fw,xdp_exception --sessions 40`,
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return runControl(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), &s, sessions)
		},
	}
	s.flags(c)
	f := c.Flags()
	f.StringVar(&s.suite, "suite", "k2", strings.Join(benchmarks.Suites(), ", ")+", all, or a folder of programs")
	f.StringSliceVar(&s.programs, "programs", nil, "only these programs")
	f.StringVar(&s.out, "out", "results", "folder for records and tables")
	f.StringVar(&s.cpu, "input-mcpu", "v2", "instruction set level that clang compiles the inputs for")
	f.IntVar(&s.packets, "packets", 4000, "packets that paths are chosen from")
	f.BoolVar(&s.quick, "quick", false, "the short sessions of races' heats")
	f.IntVar(&sessions, "sessions", 20, "sessions of each program")
	return c
}

func runControl(ctx context.Context, stdout, stderr io.Writer, s *benchSettings, sessions int) error {
	suite, err := benchmarks.Load(s.suite)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return loader.ErrPrivilege
	}
	log := newRecorder(s.out, uint64(s.seed)).log
	p := newProgress(stderr)
	for _, b := range suite {
		if len(s.programs) > 0 && !slices.Contains(s.programs, b.Name) {
			continue
		}
		object, err := b.Compile(ctx, "O2", s.cpu)
		if err != nil {
			return err
		}
		in, err := benchInputs(b, s, s.packets)
		if err != nil {
			return err
		}
		x := measure.FromObject(b.Name, object, b.Program, b.States)
		o := s.latency()
		if o.Inputs, err = measure.Representatives(ctx, x, in, 4); errors.Is(err, measure.ErrNotMeasurable) {
			continue
		} else if err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
		var records []*measure.Record
		for n := range sessions {
			o.Seed = uint64(s.seed) + uint64(n)
			r, err := measure.Latency(ctx, x, []measure.Subject{x}, o)
			if err != nil {
				return errors.Join(fmt.Errorf("%s: %w", b.Name, err), writeControlTables(s.out, log, stdout))
			}
			rec, err := measure.NewRecord(kindControl, b.Name, o.Seed, measure.CurrentEnv(), r, x)
			if err != nil {
				return err
			}
			records = append(records, rec)
			p.line(fmt.Sprintf("%s: session %d of %d, %v", b.Name, n+1, sessions, r.Rivals[0].Verdict), n+1 == sessions)
		}
		if err := log.Write(records...); err != nil {
			return err
		}
	}
	p.finish()
	return writeControlTables(s.out, log, stdout)
}

func writeControlTables(out string, log measure.Log, stdout io.Writer) error {
	records, err := log.Read(kindControl)
	if err != nil || len(records) == 0 {
		return err
	}
	t, err := measure.ControlTable(records)
	if err != nil {
		return err
	}
	return errors.Join(writeTables(out, "control", "", t), t.Markdown(stdout))
}
