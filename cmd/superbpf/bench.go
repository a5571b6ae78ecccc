package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/olekukonko/tablewriter"
	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/traffic"
)

func benchCommand() *cobra.Command {
	c := &cobra.Command{Use: "bench", Short: "Run the benchmark suites"}
	c.AddCommand(benchRunCommand())
	return c
}

type benchSettings struct {
	settings
	suite, out, cpu string
	packets         int
	quick           bool
	iface           string
	forceIface      bool
}

func benchRunCommand() *cobra.Command {
	var s benchSettings
	c := &cobra.Command{
		Use:   "run",
		Short: "Compile, optimize, prove, load and measure a suite; write the tables",
		Long: `For each program of a suite: compiles it with clang -O1, -O2, -O3 and -Os,
optimizes the smallest that loads, compares the behaviour of input and output on
generated packets (return value, packet, context and all maps), and times both.
Raw records go to OUT/records, tables to OUT.`,
		Example: `  sudo superbpf bench run
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
	f.BoolVar(&s.quick, "quick", false, "fewer measurement rounds")
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
	Iface       string // what a network interface's own traffic showed
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
	log := measure.Log{Dir: filepath.Join(s.out, "records", time.Now().UTC().Format("20060102-150405"))}
	var all []*outcome
	for i, b := range picked {
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(stderr, "[%d/%d] %s: %s\n", i+1, len(picked), b.Name, b.Description)
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
	if err := writeBenchTables(s.out, s, all); err != nil {
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

// fillMaps sets a benchmark's initial map contents.
func fillMaps(b *benchmarks.Bench) func(*loader.Loaded) error {
	return func(l *loader.Loaded) error {
		for _, m := range b.Maps {
			t, ok := l.Map(m.Name)
			if !ok {
				continue // the compiler left it out
			}
			for _, e := range m.Entries {
				k, err := benchmarks.Encode(e.Key)
				if err != nil {
					return err
				}
				v, err := benchmarks.Encode(e.Value)
				if err != nil {
					return err
				}
				if err := t.Set(k, v); err != nil {
					return fmt.Errorf("map %s: key %s: %w", m.Name, e.Key, err)
				}
			}
		}
		return nil
	}
}

// compileBest builds all levels and returns the smallest object that loads.
func compileBest(ctx context.Context, b *benchmarks.Bench, cpu string, o *outcome) ([]byte, error) {
	k, err := loader.NewKernel()
	if err != nil {
		return nil, err
	}
	defer k.Close()
	var best []byte
	var why error
	for _, level := range benchmarks.Levels {
		raw, err := b.Compile(ctx, level, cpu)
		if err != nil {
			return nil, err
		}
		obj, err := elf.Read(raw)
		if err != nil {
			return nil, err
		}
		r, err := k.Load(ctx, raw, b.Program)
		if err != nil {
			return nil, err
		}
		if !r.Accepted {
			o.Sizes[level] = -1
			why = fmt.Errorf("clang -%s: %s", level, r.Reason)
			continue
		}
		slots := 0
		for i, f := range obj.Functions() {
			if len(obj.Users(i)) > 0 {
				slots += f.Slots()
			}
		}
		o.Sizes[level] = slots
		if best == nil || slots < o.Sizes[o.Best] {
			best, o.Best = raw, level
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no level loads: %w", why)
	}
	return best, nil
}

func benchInputs(b *benchmarks.Bench, s *benchSettings, n int) ([]measure.Input, error) {
	if b.Context > 0 {
		return measure.Contexts(traffic.Contexts(uint64(s.seed), n, b.Context)), nil
	}
	return inputs(s.pcap, uint64(s.seed), n)
}

func benchOne(ctx context.Context, stderr io.Writer, b *benchmarks.Bench, s *benchSettings, log measure.Log) (*outcome, error) {
	o := &outcome{Program: b.Name, Paper: b.Paper, Sizes: map[string]int{}}
	best, err := compileBest(ctx, b, s.cpu, o)
	if err != nil {
		return nil, err
	}
	in, err := benchInputs(b, s, s.packets)
	if err != nil {
		return nil, err
	}
	opt, err := newOptimization(ctx, b.Name, best, &s.settings)
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
	if s.objective == "latency" {
		if err := pipeline.Select(ctx, opt.Object, res, meter{in, fillMaps(b), uint64(s.seed)}); err != nil {
			return nil, err
		}
		if err := pipeline.Confirm(ctx, res, opt.Options.Gates); err != nil {
			return nil, err
		}
	}
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
	if err := keepObjects(s.out, b.Name, best, res, opt); err != nil {
		return nil, err
	}
	if err := compareOutcome(ctx, b, s, in, best, res.Output, o, log); err != nil {
		return nil, err
	}
	rec, err := measure.NewRecord("size", b.Name, uint64(s.seed), measure.CurrentEnv(), o)
	if err != nil {
		return nil, err
	}
	return o, log.Write(rec)
}

// keepObjects leaves the input and output objects, with certificate and
// report, under OUT/objects.
func keepObjects(out, name string, in []byte, res *pipeline.Result, opt *optimization) error {
	dir := filepath.Join(out, "objects")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	cert, err := pipeline.NewCertificate(in, res, opt.SolverName, opt.GateNames())
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, name+".clang.o"), in); err != nil {
		return err
	}
	return writeOutputs(filepath.Join(dir, name+".superbpf.o"), res, cert)
}

// compareOutcome runs input and output side by side, then times them.
func compareOutcome(ctx context.Context, b *benchmarks.Bench, s *benchSettings, in []measure.Input, before, after []byte, o *outcome, log measure.Log) error {
	x := measure.FromObject("clang -"+o.Best, before, b.Program, fillMaps(b))
	y := measure.FromObject("superbpf", after, b.Program, fillMaps(b))
	d, err := measure.Differ(ctx, x, y, measure.DifferOptions{Inputs: in})
	if errors.Is(err, measure.ErrNotMeasurable) {
		o.Timing = "not measurable"
		return nil
	}
	if err != nil {
		return err
	}
	o.Inputs, o.Masked = d.Runs, d.Masked
	if d.Difference != nil {
		o.Differs = d.Difference.String()
	}
	rec, err := measure.NewRecord("differ", b.Name, uint64(s.seed), measure.CurrentEnv(), d, x, y)
	if err != nil {
		return err
	}
	if err := log.Write(rec); err != nil || o.Differs != "" {
		return err
	}
	paths, err := measure.Representatives(ctx, x, in, 4)
	if err != nil {
		return err
	}
	lo := measure.LatencyOptions{Inputs: paths, Seed: uint64(s.seed)}
	if s.quick {
		lo = measure.Quick(lo)
	}
	l, err := measure.Latency(ctx, x, []measure.Subject{y}, lo)
	if err != nil {
		return err
	}
	r := l.Rivals[0]
	o.Timing = r.Verdict.String()
	o.Nanos = [2]float64{r.Base.Mid, r.Rival.Mid}
	o.Ratio = ratio(r)
	if rec, err = measure.NewRecord("latency", b.Name, uint64(s.seed), measure.CurrentEnv(), l, x, y); err != nil {
		return err
	}
	if err := log.Write(rec); err != nil || l.Type != "xdp" {
		return err
	}
	// Frames come from the same paths; the load goes over a veth pair.
	t, err := measure.Throughput(ctx, x, []measure.Subject{y}, measure.Quick(measure.LatencyOptions{Inputs: paths[:1], Seed: uint64(s.seed)}))
	if err != nil {
		o.LiveVerdict = "not measured: " + err.Error()
		return nil
	}
	if s.iface != "" {
		if err := onInterface(ctx, b, s, x, y, o, log); err != nil {
			return err
		}
	}
	r = t.Rivals[0]
	o.LiveVerdict = r.Verdict.String()
	o.Live = [2]float64{r.Base.Mid, r.Rival.Mid}
	o.LiveRatio = ratio(r)
	if rec, err = measure.NewRecord("throughput", b.Name, uint64(s.seed), measure.CurrentEnv(), t, x, y); err != nil {
		return err
	}
	return log.Write(rec)
}

// onInterface attaches input and output in turn to the interface asked for.
func onInterface(ctx context.Context, b *benchmarks.Bench, s *benchSettings, x, y measure.Subject, o *outcome, log measure.Log) error {
	t, err := measure.OnInterface(ctx, x, []measure.Subject{y}, measure.InterfaceOptions{Iface: s.iface, Seed: uint64(s.seed),
		XDP: loader.XDPOptions{Mode: loader.XDPNative, Force: s.forceIface}})
	if errors.Is(err, measure.ErrNoTraffic) {
		o.Iface = "no packets came in on " + s.iface
		return nil
	}
	if err != nil {
		return err
	}
	r := t.Rivals[0]
	o.Iface = fmt.Sprintf("on %s (%s): %.1f -> %.1f ns a packet, %v", t.Iface, t.Mode, r.Base.Mid, r.Rival.Mid, r.Verdict)
	rec, err := measure.NewRecord("interface", b.Name, uint64(s.seed), measure.CurrentEnv(), t, x, y)
	if err != nil {
		return err
	}
	return log.Write(rec)
}

// resolution is the shortest time that a ratio is quoted for, in nanoseconds:
// below it the measuring loop's own jitter drowns the program.
const resolution = 5

// ratio is the rival's time over the base's with its interval; zero when the
// times are too short to compare so.
func ratio(d measure.Diff) [3]float64 {
	if d.Base.Mid < resolution {
		return [3]float64{}
	}
	return [3]float64{1 + d.Change.Mid/d.Base.Mid, 1 + d.Change.Low/d.Base.Mid, 1 + d.Change.High/d.Base.Mid}
}

func percent(from, to int) string {
	if from == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100*float64(from-to)/float64(from))
}

// rows renders outcomes for the tables.
func rows(all []*outcome) (header []string, out [][]string) {
	header = []string{"program", "-O1", "-O2", "-O3", "-Os", "best", "superbpf", "saved", "K2 paper: clang", "K2", "saved", "jited bytes", "s", "ns before", "ns after", "ratio (95 %)", "verdict", "Mpps before", "Mpps after", "Mpps verdict", "inputs", "differences"}
	size := func(n int) string {
		if n < 0 {
			return "DNL"
		}
		return fmt.Sprint(n)
	}
	for _, o := range all {
		r := []string{o.Program}
		for _, l := range benchmarks.Levels {
			r = append(r, size(o.Sizes[l]))
		}
		r = append(r, fmt.Sprint(o.Slots[0]), fmt.Sprint(o.Slots[1]), percent(o.Slots[0], o.Slots[1]))
		if p, ok := benchmarks.Paper(o.Paper); ok {
			r = append(r, fmt.Sprint(p.Best()), fmt.Sprint(p.K2), fmt.Sprintf("%.1f %%", p.Reduction()))
		} else {
			r = append(r, "", "", "")
		}
		r = append(r, fmt.Sprintf("%d -> %d", o.Jited[0], o.Jited[1]), fmt.Sprintf("%.1f", o.Seconds))
		switch {
		case o.Ratio[0] > 0:
			r = append(r, fmt.Sprintf("%.1f", o.Nanos[0]), fmt.Sprintf("%.1f", o.Nanos[1]), fmt.Sprintf("%.3f [%.3f, %.3f]", o.Ratio[0], o.Ratio[1], o.Ratio[2]))
		case o.Nanos[0] > 0:
			r = append(r, fmt.Sprintf("%.1f", o.Nanos[0]), fmt.Sprintf("%.1f", o.Nanos[1]), fmt.Sprintf("below %d ns", resolution))
		default:
			r = append(r, "", "", "")
		}
		r = append(r, o.Timing)
		if o.Live[0] > 0 {
			r = append(r, fmt.Sprintf("%.2f", measure.Mpps(o.Live[0])), fmt.Sprintf("%.2f", measure.Mpps(o.Live[1])), o.LiveVerdict)
		} else {
			r = append(r, "", "", o.LiveVerdict)
		}
		diff := "none"
		if o.Differs != "" {
			diff = o.Differs
		} else if o.Inputs == 0 {
			diff = "not run"
		}
		out = append(out, append(r, fmt.Sprint(o.Inputs), diff))
	}
	return header, out
}

func sizeTable(w io.Writer, all []*outcome) error {
	t := tablewriter.NewWriter(w)
	h, rs := rows(all)
	t.Header(h)
	for _, r := range rs {
		if err := t.Append(r); err != nil {
			return err
		}
	}
	return t.Render()
}

// summary is the line below the table.
func summary(all []*outcome) string {
	saved, beaten, paper, timed := 0.0, 0, 0, 0
	logRatio := 0.0
	for _, o := range all {
		mine := 100 * float64(o.Slots[0]-o.Slots[1]) / float64(o.Slots[0])
		saved += mine
		if p, ok := benchmarks.Paper(o.Paper); ok {
			paper++
			if mine >= p.Reduction() {
				beaten++
			}
		}
		if o.Ratio[0] > 0 {
			timed++
			logRatio += math.Log(o.Ratio[0])
		}
	}
	s := fmt.Sprintf("mean reduction %.1f %% over %d programs; at least K2's percentage on %d of %d", saved/float64(len(all)), len(all), beaten, paper)
	if timed > 0 {
		s += fmt.Sprintf("; geometric mean of the times' ratios %.3f over %d programs", math.Exp(logRatio/float64(timed)), timed)
	}
	return s
}

// writeBenchTables writes the table as Markdown and as tab-separated values.
func writeBenchTables(dir string, s *benchSettings, all []*outcome) error {
	h, rs := rows(all)
	var md, tsv strings.Builder
	env := measure.CurrentEnv()
	fmt.Fprintf(&md, "# Suite %s\n\nGenerated by `superbpf bench run`: inputs compiled for -mcpu=%s, objective %s, seed %d, Linux %s.\n"+
		"Slots count 8 bytes, lddw 2, `ja +0` 0. DNL: did not load. The K2 columns are Table 1 of the paper, for the paper's own programs.\n"+
		"Times are of BPF_PROG_TEST_RUN on this machine; only ratios carry over to others.\n\n%s\n\n", s.suite, s.cpu, s.objective, s.seed, env.Kernel, summary(all))
	line := func(cells []string) { fmt.Fprintf(&md, "| %s |\n", strings.Join(cells, " | ")) }
	line(h)
	line(strings.Split(strings.Repeat("---,", len(h)-1)+"---", ","))
	tsv.WriteString(strings.Join(h, "\t") + "\n")
	for _, r := range rs {
		line(r)
		tsv.WriteString(strings.Join(r, "\t") + "\n")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	name := strings.ReplaceAll(filepath.Base(s.suite), "/", "-") + "-" + s.cpu + "-" + s.objective
	if err := writeFile(filepath.Join(dir, name+".md"), []byte(md.String())); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, name+".tsv"), []byte(tsv.String()))
}
