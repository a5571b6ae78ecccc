package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/traffic"
	"github.com/superbpf/superbpf/traffic/profile"
)

func benchCommand() *cobra.Command {
	c := &cobra.Command{Use: "bench", Short: "Run the benchmark suites"}
	c.AddCommand(benchControlCommand(), benchDifferCommand(), benchEnginesCommand(), benchEquivalenceCommand(), benchKernelsCommand(), benchLoadsCommand(), benchMutantsCommand(), benchRunCommand(), benchSafetyCommand(), benchSizesCommand())
	return c
}

type benchSettings struct {
	settings
	suite, out, cpu string
	packets         int
	quick           bool
	iface           string
	forceIface      bool
	resume          bool
	rates           bool
}

func benchRunCommand() *cobra.Command {
	var s benchSettings
	c := &cobra.Command{
		Use:   "run",
		Short: "Compile, optimize, prove, load and measure a suite; write the tables",
		Long: `For each program of a suite: compiles it with clang -O1, -O2, -O3 and -Os,
optimizes the smallest that loads, compares the behaviour of input and output on
generated packets (return value, packet, context and all maps), and times both.
Raw records go to OUT/records, tables to OUT. A run that was interrupted goes on
with --resume, from the first program that has no record.`,
		Example: `  sudo superbpf bench run
  sudo superbpf bench run --resume
  sudo superbpf bench run --programs xdp1,xdp2 --objective size`,
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return runBench(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), &s)
		},
	}
	s.flags(c)
	f := c.Flags()
	f.StringVar(&s.suite, "suite", "k2", strings.Join(benchmarks.Suites(), ", ")+", all, or a folder of programs")
	f.StringSliceVar(&s.programs, "programs", nil, "only these programs")
	f.StringVar(&s.out, "out", "results", "folder for records and tables")
	f.StringVar(&s.cpu, "input-mcpu", "v2", "instruction set level that clang compiles the inputs for")
	f.IntVar(&s.packets, "packets", 100_000, "packets for the comparison of behaviour")
	f.StringVar(&s.iface, "iface", "", "also run XDP programs on this network interface, natively, under the traffic that comes in")
	f.BoolVar(&s.forceIface, "force-iface", false, "even if the interface carries the default route")
	f.BoolVar(&s.rates, "rates", false, "highest loss-free rates and waiting times by load of all XDP programs (default: of those in the paper's Tables 2 and 3)")
	f.BoolVar(&s.quick, "quick", false, "fewer measurement rounds")
	f.BoolVar(&s.resume, "resume", false, "go on with the last run into this folder, which was interrupted; the options must be the same")
	return c
}

// outcome is one program's record.
type outcome struct {
	Program string
	Paper   string
	Sizes   map[string]int // clang's slots by level; -1: does not load
	Best    string         // the level that was optimized
	Slots   [2]int         // before, after
	Xlated  [2]int         // bytes
	Jited   [2]int
	Steps   int
	Seconds float64
	Locked  [2]int // locked atomics
	Inputs  int    // compared
	Masked  []string
	Differs string // empty: no difference
	Timing  string // verdict
	Nanos   [2]float64
	Ratio   [3]float64 // middle, low, high
	// Of XDP programs under live frames on a veth pair: ns of CPU time a packet
	// before and after, and the verdict.
	Live        [2]float64
	LiveRatio   [3]float64
	LiveVerdict string
	Rates       *rateOutcome // nil where not measured
	Iface       string       // what a network interface's own traffic showed
	Note        string
}

func runBench(ctx context.Context, stdout, stderr io.Writer, s *benchSettings) error {
	suite, err := benchmarks.Load(s.suite)
	if err != nil {
		return err
	}
	want := map[string]bool{}
	for _, p := range s.programs {
		want[p] = true
	}
	s.programs = nil
	var picked []*benchmarks.Bench
	for _, b := range suite {
		if len(want) == 0 || want[b.Name] {
			picked = append(picked, b)
		}
	}
	if len(want) > len(picked) {
		for _, b := range picked {
			delete(want, b.Name)
		}
		for p := range want {
			return fail(exitUsage, "the suite has no program %q", p)
		}
	}
	if os.Geteuid() != 0 {
		return loader.ErrPrivilege
	}
	if s.gates, err = openGates(ctx, s.kernels, s.progType, stderr); err != nil {
		return err
	}
	defer s.gates.Close()
	var names []string
	for _, b := range picked {
		names = append(names, b.Name)
	}
	log, err := s.openLog(names)
	if err != nil {
		return err
	}
	var all []*outcome
	for i, b := range picked {
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(stderr, "[%d/%d] %s: %s\n", i+1, len(picked), b.Name, b.Description)
		if o, err := finished(log, b.Name); err != nil {
			return err
		} else if o != nil {
			fmt.Fprintln(stderr, "  has its record already")
			all = append(all, o)
			continue
		}
		if err := discard(log, b.Name); err != nil {
			return err
		}
		o, err := benchOne(ctx, stderr, b, s, log)
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			return fmt.Errorf("%s: %w", b.Name, err)
		}
		all = append(all, o)
	}
	if len(all) == 0 {
		return errors.New("interrupted before the first program was done")
	}
	if err := writeBenchTables(s.out, s.title(), all, len(all) == len(suite)); err != nil {
		return err
	}
	if err := sizeTable(stdout, all); err != nil {
		return err
	}
	for _, o := range all {
		if o.Iface != "" {
			fmt.Fprintf(stdout, "%s %s\n", o.Program, o.Iface)
		}
	}
	fmt.Fprintf(stdout, "%s\nrecords: %s, tables: %s\n", summary(all), log.Dir, s.out)
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted after %d of %d programs", len(all), len(picked))
	}
	for _, o := range all {
		if o.Differs != "" {
			return fail(exitDifferent, "%s behaves differently: %s", o.Program, o.Differs)
		}
	}
	return nil
}

// compileBest builds all levels and returns the smallest object that loads in
// the most kernels.
func compileBest(ctx context.Context, b *benchmarks.Bench, cpu string, kernels *gates, o *outcome) ([]byte, error) {
	judges, done, err := kernels.Judges(nil)
	if err != nil {
		return nil, err
	}
	defer done()
	var best []byte
	var why error
	most := 0
	for _, level := range benchmarks.Levels {
		raw, err := b.Compile(ctx, level, cpu)
		if err != nil {
			return nil, err
		}
		obj, err := elf.Read(raw)
		if err != nil {
			return nil, err
		}
		loads := 0
		for _, g := range judges {
			r, err := g.Load(ctx, raw, b.Program)
			if err != nil {
				return nil, err
			}
			if r.Accepted {
				loads++
			} else {
				why = fmt.Errorf("clang -%s: %s: %s", level, g.Name(), r.Reason)
			}
		}
		if loads == 0 {
			o.Sizes[level] = -1
			continue
		}
		slots := 0
		for i, f := range obj.Functions() {
			if len(obj.Users(i)) > 0 {
				slots += f.Slots()
			}
		}
		o.Sizes[level] = slots
		if loads > most || loads == most && slots < o.Sizes[o.Best] {
			best, o.Best, most = raw, level, loads
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no level loads: %w", why)
	}
	return best, nil
}

// latency are the settings of timing sessions.
func (s *benchSettings) latency() measure.LatencyOptions {
	o := measure.LatencyOptions{Seed: uint64(s.seed)}
	if s.quick {
		o = measure.Quick(o)
	}
	return o
}

func benchInputs(b *benchmarks.Bench, s *benchSettings, n int) ([]measure.Input, error) {
	if b.Context > 0 {
		return measure.Contexts(traffic.Contexts(uint64(s.seed), n, b.Context)), nil
	}
	if s.pcap == "" && b.Traffic != nil {
		p, err := profile.Parse(b.Traffic)
		if err != nil {
			return nil, fmt.Errorf("traffic.yaml: %w", err)
		}
		return mixed(p, uint64(s.seed), n)
	}
	return inputs(s.pcap, uint64(s.seed), n)
}

func benchOne(ctx context.Context, stderr io.Writer, b *benchmarks.Bench, s *benchSettings, log measure.Log) (*outcome, error) {
	o := &outcome{Program: b.Name, Paper: b.Paper, Sizes: map[string]int{}}
	best, err := compileBest(ctx, b, s.cpu, s.gates, o)
	if err != nil {
		return nil, err
	}
	in, err := benchInputs(b, s, s.packets)
	if err != nil {
		return nil, err
	}
	opt, err := optimizationUnder(ctx, b.Name, best, &s.settings, trafficOf(in, b.States))
	if err != nil {
		return nil, err
	}
	defer opt.Close()
	p := newProgress(stderr)
	opt.Options.Progress = p.event
	start := time.Now()
	res, err := pipeline.Optimize(ctx, opt.Object, opt.Options)
	p.finish()
	if err != nil {
		return nil, err
	}
	o.Seconds = time.Since(start).Seconds()
	fmt.Fprintf(stderr, "  optimized in %.1f s; comparing behaviour and timing\n", o.Seconds)
	m := meter{in, b.States, s.latency(), s.progType}
	if s.objective == "latency" {
		if err := pipeline.Select(ctx, opt.Object, res, opt.Options, m); err != nil {
			return nil, err
		}
		if err := s.keepPrices(opt.Options.Model); err != nil {
			return nil, err
		}
	}
	for try := 0; ; try++ {
		if err := compareOutcome(ctx, b, s, in, best, res.Output, o, log, try); err != nil {
			return nil, err
		}
		// A longer look may find slower what the race let pass.
		if o.Timing != measure.Slower.String() || s.objective != "latency" || try >= maxTries {
			break
		}
		if ok, err := pipeline.Withdraw(ctx, opt.Object, res, b.Program, opt.Options, m); err != nil {
			return nil, err
		} else if !ok {
			break
		}
	}
	if err := pipeline.Confirm(ctx, res, opt.Options.Gates); err != nil {
		return nil, err
	}
	o.describe(b, res)
	if err := keepObjects(s.out, b.Name, best, res, opt); err != nil {
		return nil, err
	}
	rec, err := measure.NewRecord(kindSize, b.Name, uint64(s.seed), measure.CurrentEnv(), o)
	if err != nil {
		return nil, err
	}
	return o, log.Write(rec)
}

// maxTries bounds how often a program that a longer look finds slower has a
// rewrite taken back and is looked at again.
const maxTries = 3

// describe fills in what the optimizer and the kernel say.
func (o *outcome) describe(b *benchmarks.Bench, res *pipeline.Result) {
	for _, fr := range res.Functions {
		o.Slots[0] += fr.Before.Slots
		o.Slots[1] += fr.After.Slots
		o.Locked[0] += fr.Before.Locked
		o.Locked[1] += fr.After.Locked
		o.Steps += len(fr.Steps)
		if fr.Measured != "" {
			o.Note = fr.Measured
		}
	}
	for _, r := range res.Programs {
		if r.Name == b.Program {
			o.Xlated = [2]int{r.Before.XlatedBytes, r.After.XlatedBytes}
			o.Jited = [2]int{r.Before.JitedBytes, r.After.JitedBytes}
		}
	}
}

// keepObjects leaves the input and output objects, with certificate and
// report, under OUT/objects.
func keepObjects(out, name string, in []byte, res *pipeline.Result, opt *optimization) error {
	dir := filepath.Join(out, "objects")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	cert, err := pipeline.NewCertificate(in, res, opt.SolverName, opt.AllowAtomics)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, name+".clang.o"), in); err != nil {
		return err
	}
	return writeOutputs(filepath.Join(dir, name+".superbpf.o"), res, cert)
}
