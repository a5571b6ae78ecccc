package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/pass"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/profile"
	"github.com/superbpf/superbpf/optimizer/rules"
)

// engines are the ways in which rewrites are found. Orders, which tries the passes
// in other orders, has no rewrites of its own.
var engines = []string{"passes", "rules", "enumeration", orders, "chain"}

const orders = "orders"

// settings are the options that every command that optimizes shares.
type settings struct {
	objective string
	level     int
	mcpu      level
	solver    string
	budget    time.Duration // ceiling for a function
	total     time.Duration // ceiling for an object
	steps     float64       // for a function, in millions; zero: by effort and size
	extra     time.Duration // more than -O2 has, for a function; zero: by effort
	seed      int64
	costFile  string
	learnCost string
	inPlace   bool
	programs  []string
	pcap      string
	disable   []string
	chain     string
	progType  string
	mapFiles  []string
	kernels   []string
	gates     *gates // of kernels, for all objects of a run
	ruleStore string
	// What the user allows, and forbids, with memory that others see.
	atomics, preserve bool
	given             func(flag string) bool // on the command line
}

func (s *settings) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.objective, "objective", "latency", "what to lower: latency, size or complexity")
	f.IntVarP(&s.level, "optimize", "O", 2, "effort: 1 passes and rules, 2 adds enumeration, 3 adds Markov chains until the budget ends")
	f.Var(&s.mcpu, "mcpu", "newest instruction set level to use, v1 to v4 (default: what the gate kernels accept)")
	f.StringVar(&s.solver, "solver", "auto", "go-z3, z3, cvc5 or auto")
	s.budgetFlags(f)
	f.Int64Var(&s.seed, "seed", 1, "seed of every random choice")
	f.StringVar(&s.costFile, "cost", "", "cost model written by `superbpf calibrate`; \"static\" for K2's plain sum over all instructions")
	f.StringVar(&s.learnCost, "learn-cost", "", "cost model file to go on from, if it is there, and to keep with the prices refined by what is measured")
	f.BoolVar(&s.atomics, "allow-atomics", false, "let a plain read-modify-write of memory become an atomic operation: fewer slots, much slower (default with --objective size)")
	s.given = f.Changed
	preserveFlag(f, &s.preserve)
	f.BoolVar(&s.inPlace, "in-place", false, "keep the object's layout: pad removed instructions with ja +0")
	f.StringVar(&s.pcap, "pcap", "", "packets (pcap or pcapng) to weigh and test the program with")
	typeFlag(c, &s.progType)
	kernelsFlag(c, &s.kernels, []string{runningKernel})
	store, err := rules.StorePath()
	if err != nil {
		store = ""
	}
	f.StringVar(&s.ruleStore, "rule-store", store, "rules to use besides those that come with the program, see superbpf rules")
	f.StringVar(&s.chain, "chain", "", "only the Markov chain of this setting of K2's Table 8, 1 to 5 (default: all of them at -O3)")
	f.StringSliceVar(&s.disable, "disable", nil, "transforms to leave out, by name: "+strings.Join(append(pass.Names(), engines...), " "))
}

// preserveFlag forbids what a compiler may do to memory that others see.
func preserveFlag(f *pflag.FlagSet, preserve *bool) {
	f.BoolVar(preserve, "preserve-shared", false, "keep every access to map memory as it is: none dropped, added, merged or reordered")
}

// allowAtomics: --allow-atomics was given, or nothing was said of it and size is
// all that counts.
func (s *settings) allowAtomics() bool {
	if s.given != nil && s.given("allow-atomics") {
		return s.atomics
	}
	return s.objective == "size" && !s.preserve
}

func optimizeCommand() *cobra.Command {
	var s settings
	var out string
	var verbose, unmeasured, asJSON bool
	c := &cobra.Command{
		Use:   "optimize IN.o -o OUT.o",
		Short: "Write a smaller and faster drop-in object",
		Long: `Optimizes every program of an object. Each rewrite is proved equivalent and
accepted by the verifier of the running kernel, or of the kernels that --kernels
names, before it is kept. Beside the output come OUT.o.report.txt (each rewrite,
before and after; what became of the Markov chains' proposals, by kind) and
OUT.o.cert.json (the chain of proved bodies, which 'superbpf verify' checks again
from scratch).

A kernel that refuses a program as it is cannot judge it: the table says so, and
the others do. A program that cannot be read or that the kernel refuses as it is stays
unchanged, with the reason below the table; the others are optimized all the
same. Ctrl-C ends the search; the best result so far is still written.

The body of a static function may take the place of calls of it, where that pays;
one that is called no more stays in the object, but loaders leave it out. Global
functions stay calls: other programs may replace or trace them (freplace, fentry),
and a linker weak ones. Who traces a static function uses --disable inline. So
does who resolves stack traces by the names of the program's own functions.

-O1 takes about a second for 500 instructions, and times no candidates; -O2 about
ten, -O3 a minute; large functions get more. These budgets are counted in steps
of work, so that the same input, options and seed give the same bytes (with
--no-measure: what is timed decides otherwise). --budget and --total-budget are
ceilings of time beside them.

Exit code 0: the output was written. 1: it was not. 2: wrong command line.`,
		Example: `  sudo superbpf optimize xdp.o -o xdp.opt.o
  sudo superbpf optimize xdp.o -o xdp.opt.o --objective size -O3 --budget 2m
  sudo superbpf optimize xdp.o -o xdp.opt.o --pcap traffic.pcap --maps maps.yaml
  sudo superbpf optimize xdp.o -o xdp.opt.o --objective size --allow-atomics=false
  sudo superbpf optimize xdp.o -o xdp.opt.o --kernels running,6.1,6.12
  sudo superbpf optimize xdp.o -o xdp.opt.o --learn-cost here.json
  superbpf optimize lsm.o -o lsm.opt.o --kernels 6.12 --no-measure`,
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return fail(exitUsage, "name the output with -o OUT.o")
			}
			if s.level == 1 && !s.given("no-measure") {
				unmeasured = len(s.mapFiles) == 0 && s.learnCost == ""
			}
			return runOptimize(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), args[0], out, &s, verbose, unmeasured, asJSON)
		},
	}
	s.flags(c)
	c.Flags().StringVarP(&out, "output", "o", "", "the object to write")
	c.Flags().StringSliceVar(&s.programs, "programs", nil, "only these functions")
	c.Flags().StringArrayVar(&s.mapFiles, "maps", nil, "what maps hold while candidates are timed: a YAML file, or MAP=FILE.json from bpftool (see 'superbpf measure --help'); repeatable")
	c.Flags().BoolVar(&unmeasured, "no-measure", false, "do not time candidates in the kernel; write the one with the lowest estimate (default at -O1, unless --maps or --learn-cost is given)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON instead of a table")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "print the report, too")
	return c
}

func runOptimize(ctx context.Context, stdout, stderr io.Writer, in, out string, s *settings, verbose, unmeasured, asJSON bool) error {
	if err := checkOutput(in, out); err != nil {
		return err
	}
	input, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	// What is wrong with the input is said before what is missing on the host.
	if _, err := s.read(in, input); err != nil {
		return err
	}
	states, err := readMaps(s.mapFiles, in, input)
	if err != nil {
		return err
	}
	if s.gates, err = openGates(ctx, s.kernels, s.progType, stderr); err != nil {
		return err
	}
	defer s.gates.Close()
	most := 2000
	if unmeasured {
		most = profile.MaxRuns // they are for weights alone
	}
	packets, err := inputs(s.pcap, uint64(s.seed), most)
	if err != nil {
		return err
	}
	opt, err := optimizationUnder(ctx, in, input, s, trafficOf(packets, states))
	if err != nil {
		return err
	}
	defer opt.Close()
	p := newProgress(stderr)
	opt.Options.Progress = p.event
	opt.Options.FewLoads = unmeasured && s.level == 1
	res, err := pipeline.Optimize(ctx, opt.Object, opt.Options)
	p.finish()
	if err != nil {
		return err
	}
	if s.objective == "latency" && !unmeasured {
		if res.Changed() {
			fmt.Fprintln(stderr, "timing the candidates (--no-measure leaves that out)")
		}
		if err := pipeline.Select(ctx, opt.Object, res, opt.Options, meter{packets, states, measure.LatencyOptions{Seed: uint64(s.seed)}, s.progType}); err != nil {
			return err
		}
		if err := errors.Join(pipeline.Confirm(ctx, res, opt.Options.Gates), s.keepPrices(opt.Options.Model)); err != nil {
			return err
		}
	}
	if lost := elf.LostSections(input, res.Output); len(lost) > 0 {
		res.Notes = append(res.Notes, fmt.Sprintf("Debug sections for debuggers and disassemblers (%s) described the old code and are empty now; "+
			"line and function information for the kernel, bpftool and libbpf (.BTF, .BTF.ext) was moved with the code.", strings.Join(lost, " ")))
	}
	if list := needConstants(opt.Options.Gates, changedNames(res)); len(list) > 0 {
		res.Notes = append(res.Notes, fmt.Sprintf("The kernel takes %s only with the constants that the object has in .rodata. Code that these switch off was proved, "+
			"but the verifier has not seen it: where a loader sets other constants, load the output with these before it is used.", strings.Join(list, ", ")))
	}
	cert, err := pipeline.NewCertificate(input, res, opt.SolverName, opt.AllowAtomics)
	if err != nil {
		return err
	}
	if err := writeOutputs(out, res, cert); err != nil {
		return err
	}
	if err := printResult(stdout, in, out, opt, res, verbose, asJSON); err != nil {
		return err
	}
	if res.Stopped {
		fmt.Fprintln(stderr, "superbpf: interrupted; the best result so far was written to", out)
	}
	return nil
}

// changedNames lists the programs whose code changed.
func changedNames(res *pipeline.Result) []string {
	var out []string
	for i := range res.Functions {
		if fr := &res.Functions[i]; len(fr.Steps) > 0 {
			out = append(out, fr.Programs...)
		}
	}
	return out
}

func printResult(w io.Writer, in, out string, opt *optimization, res *pipeline.Result, verbose, asJSON bool) error {
	if asJSON {
		return writeJSON(w, in, out, opt, res)
	}
	if verbose {
		if err := pipeline.WriteReport(w, res); err != nil {
			return err
		}
	}
	return writeTable(w, res)
}

// costModel reads the model asked for, or the default.
func (s *settings) costModel() (*cost.Model, error) {
	if s.learnCost != "" {
		if m, err := cost.Read(s.learnCost); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return m, err
		}
	}
	switch s.costFile {
	case "":
		return cost.Default(), nil
	case "static":
		if s.learnCost != "" {
			return nil, fail(exitUsage, "--cost static has no prices to learn: leave out --learn-cost")
		}
		return cost.Unweighted(), nil
	}
	return cost.Read(s.costFile)
}

// keepPrices writes a model that measurements refined, if it is to be kept.
func (s *settings) keepPrices(m *cost.Model) error {
	if s.learnCost == "" || m.Refined == 0 {
		return nil
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(s.learnCost, append(b, '\n'))
}
