package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/measure/mapstate"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/traffic"
)

type differSettings struct {
	settings
	objects, exclude []string
	pairs, results   string
	count            int
	rounds, packets  int
	wall             time.Duration
}

func benchDifferCommand() *cobra.Command {
	var s differSettings
	c := &cobra.Command{
		Use:   "differ [OBJECT.o | FOLDER ...]",
		Short: "Run input and output of any objects side by side in the kernel",
		Long: `Optimizes objects, or takes optimized ones of the same names from the folder
--pairs, and runs each program whose code changed beside its original: on random
packets or contexts, with maps as the object has them and then with random
contents, the same for both. Return values, packets, contexts and all maps are
compared. What cannot be compared is counted with the reason. Of a program whose
code did not change, the kernel's hash of it, the calls in it included, and the
maps that it names are compared instead.

Programs run in a network namespace of their own, as BPF_PROG_TEST_RUN or by
raised events. They are run: leave out objects that mean harm with --exclude.

Exit code 0: no difference. 5: a program behaves differently, or the kernel takes
the input and not the output.`,
		Example: `  sudo superbpf bench differ build/
  sudo superbpf bench differ --objects 'build/*.o' --count 50 --seed 7
  sudo superbpf bench differ build/ --pairs optimized/ --rounds 5 --results results`,
		RunE: func(c *cobra.Command, args []string) error {
			return benchDiffer(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), &s, args)
		},
	}
	s.flags(c)
	f := c.Flags()
	f.StringArrayVar(&s.objects, "objects", nil, "glob of objects, beside those named as arguments; repeatable")
	f.StringSliceVar(&s.exclude, "exclude", nil, "leave out objects whose file name matches one of these patterns")
	f.StringVar(&s.pairs, "pairs", "", "folder of optimized objects, by the names of the inputs (default: optimize them now)")
	f.IntVar(&s.count, "count", 0, "take that many objects at random (default: all)")
	f.IntVar(&s.rounds, "rounds", 3, "rounds a program: the first with maps as the object has them, the others with random contents")
	f.IntVar(&s.packets, "packets", 2000, "inputs a round")
	f.DurationVar(&s.wall, "wall", 20*time.Second, "time for a round")
	f.StringVar(&s.results, "results", "", "folder to write differ.md and differ.tsv to")
	return c
}

// files lists the objects to work on.
func (s *differSettings) files(args []string) ([]string, error) {
	for _, g := range s.objects {
		m, err := filepath.Glob(g)
		if err != nil {
			return nil, fail(exitUsage, "--objects: %v", err)
		}
		if len(m) == 0 {
			return nil, fail(exitUsage, "--objects: no file matches %s", g)
		}
		args = append(args, m...)
	}
	if len(args) == 0 {
		return nil, fail(exitUsage, "name objects or folders")
	}
	files, err := objectFiles(args)
	if err != nil {
		return nil, err
	}
	var bad error
	files = slices.DeleteFunc(files, func(f string) bool {
		return slices.ContainsFunc(s.exclude, func(p string) bool {
			ok, err := filepath.Match(p, filepath.Base(f))
			bad = errors.Join(bad, err)
			return ok
		})
	})
	if bad != nil {
		return nil, fail(exitUsage, "--exclude: %v", bad)
	}
	if s.count > 0 && s.count < len(files) {
		r := rand.New(rand.NewPCG(uint64(s.seed), 0xd1ff))
		r.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		files = files[:s.count]
		slices.Sort(files)
	}
	return files, nil
}

// differTally is what became of programs and objects.
type differTally struct {
	objects, compared, rounds, runs, maps int
	unlike                                []string                   // what differs, in words
	apart                                 map[string]int             // not compared, by reason
	masked                                map[string]map[string]bool // places not compared within programs, by reason
}

func benchDiffer(ctx context.Context, stdout, stderr io.Writer, s *differSettings, args []string) error {
	files, err := s.files(args)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return loader.ErrPrivilege
	}
	if s.gates, err = openGates(ctx, s.kernels, s.progType, stderr); err != nil {
		return err
	}
	defer s.gates.Close()
	t := &differTally{apart: map[string]int{}, masked: map[string]map[string]bool{}}
	for i, f := range files {
		if ctx.Err() != nil {
			break
		}
		before := *t
		s.object(ctx, stdout, t, f)
		t.objects++
		fmt.Fprintf(stderr, "[%d/%d] %s: %d programs compared, %d unlike\n", i+1, len(files), filepath.Base(f), t.compared-before.compared, len(t.unlike)-len(before.unlike))
	}
	table := measure.Table{Header: []string{"", "programs"}, Rows: [][]string{{"compared", fmt.Sprint(t.compared)}, {"unlike", fmt.Sprint(len(t.unlike))}}}
	for _, why := range slices.SortedFunc(maps.Keys(t.apart), func(a, b string) int { return t.apart[b] - t.apart[a] }) {
		table.Rows = append(table.Rows, []string{"not compared: " + why, fmt.Sprint(t.apart[why])})
	}
	for _, why := range slices.Sorted(maps.Keys(t.masked)) {
		table.Notes = append(table.Notes, fmt.Sprintf("Not compared, since %s: %s.", why, strings.Join(slices.Sorted(maps.Keys(t.masked[why])), ", ")))
	}
	table.Notes = append(table.Notes, t.unlike...)
	intro := fmt.Sprintf("# Input and output side by side in the kernel\n\n%d objects, %d programs with changed code, %d rounds of up to %d inputs, %d runs of each side, "+
		"all maps compared %d times; seed %d, Linux %s.", t.objects, t.compared, t.rounds, s.packets, t.runs, t.maps, s.seed, loader.Release())
	if s.results != "" {
		if err := writeResult(s.results, "differ", intro, table); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "%s\n\n", intro)
	if err := table.Markdown(stdout); err != nil {
		return err
	}
	if len(t.unlike) > 0 {
		return fail(exitDifferent, "%d programs behave differently", len(t.unlike))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted after %d of %d objects", t.objects, len(files))
	}
	return nil
}

// object compares the changed programs of one object.
func (s *differSettings) object(ctx context.Context, stdout io.Writer, t *differTally, file string) {
	x, y, n, err := s.pair(ctx, file)
	if err != nil {
		t.apart["the object: "+strings.TrimPrefix(err.Error(), file+": ")] += max(n, 1)
		return
	}
	a, err := elf.ReadAs(x, s.progType)
	if err != nil {
		t.apart["the object: "+strings.TrimPrefix(err.Error(), file+": ")]++
		return
	}
	b, err := elf.ReadAs(y, s.progType)
	if err != nil {
		t.found(stdout, file, "", "the output cannot be read: "+err.Error())
		return
	}
	changed := changedPrograms(a, b)
	dict := constants(a)
	for _, f := range a.Functions() {
		switch {
		case !f.Entry:
		case f.Unsupported != "":
			t.apart[f.Unsupported]++
		case !changed[f.Name]:
			s.unchanged(stdout, t, file, x, y, f.Name)
		default:
			s.program(ctx, stdout, t, file, x, y, a, f.Name, dict)
		}
	}
}

// leaveOut notes a place that was not compared, such as "map m: its contents
// cannot be listed" or "packet: bytes 3-5 differ from run to run".
func (t *differTally) leaveOut(m string) {
	place, why, ok := strings.Cut(m, ": ")
	if !ok || strings.HasPrefix(why, "bytes ") {
		place, why = strings.TrimSuffix(place, " differs from run to run"), "it differs from run to run of the input"
	}
	if t.masked[why] == nil {
		t.masked[why] = map[string]bool{}
	}
	t.masked[why][place] = true
}

func (t *differTally) found(w io.Writer, file, program, what string) {
	line := fmt.Sprintf("%s %s: %s", filepath.Base(file), program, what)
	t.unlike = append(t.unlike, line)
	fmt.Fprintln(w, line)
}

// pair is an object and what became of it, and the number of its programs.
func (s *differSettings) pair(ctx context.Context, file string) (x, y []byte, programs int, err error) {
	if x, err = os.ReadFile(file); err != nil {
		return nil, nil, 0, err
	}
	if s.pairs != "" {
		if y, err = os.ReadFile(filepath.Join(s.pairs, filepath.Base(file))); errors.Is(err, os.ErrNotExist) {
			err = errors.New("--pairs has no such object")
		}
		return x, y, 0, err
	}
	one := s.settings // each object's options are its own
	opt, err := newOptimization(ctx, file, x, &one)
	if err != nil {
		return nil, nil, 0, err
	}
	defer opt.Close()
	for _, f := range opt.Object.Functions() {
		if f.Entry {
			programs++
		}
	}
	res, err := pipeline.Optimize(ctx, opt.Object, opt.Options)
	if err != nil {
		return nil, nil, programs, err
	}
	return x, res.Output, programs, nil
}

// program runs one program's rounds.
func (s *differSettings) program(ctx context.Context, stdout io.Writer, t *differTally, file string, x, y []byte, a *elf.Object, name string, dict []uint64) {
	if err := loads(x, name); err != nil {
		t.apart["the kernel refuses the input"]++
		return
	}
	if err := loads(y, name); err != nil {
		t.found(stdout, file, name, "the kernel takes the input and refuses the output: "+firstLine(err.Error()))
		return
	}
	done := 0
	for round := range s.rounds {
		seed := uint64(s.seed) + uint64(round)
		var states []mapstate.State
		if round > 0 {
			states = randomMaps(a, seed, dict)
		}
		sx, sy := measure.FromObject(filepath.Base(file), x, name, states), measure.FromObject("its output", y, name, states)
		rep, err := s.round(ctx, sx, sy, seed, dict)
		if err != nil {
			if done == 0 || ctx.Err() != nil {
				t.apart[reason(err)]++
			}
			break
		}
		if done++; done == 1 {
			t.compared++
		}
		t.rounds, t.runs, t.maps = t.rounds+1, t.runs+rep.Runs, t.maps+rep.MapDumps
		for _, m := range rep.Masked {
			t.leaveOut(m)
		}
		if rep.Difference != nil {
			t.found(stdout, file, name, fmt.Sprintf("round %d: %v; packet %s", round, rep.Difference, rep.Difference.Packet))
			return
		}
	}
}

func (s *differSettings) round(ctx context.Context, x, y measure.Subject, seed uint64, dict []uint64) (*measure.DifferReport, error) {
	own, err := traffic.Default(seed, max(s.packets/2, 1))
	if err != nil {
		return nil, err
	}
	in, err := measure.InputsFor(x, traffic.Blend(own, seed+1, s.packets, dict), seed)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.wall)
	defer cancel()
	return measure.Differ(ctx, x, y, measure.DifferOptions{Inputs: in})
}

func loads(object []byte, name string) error {
	l, err := loader.OpenTestable(object, name)
	if err != nil {
		return err
	}
	return l.Close()
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// reason is what kept a program from being compared, without what is the
// program's own.
func reason(err error) string {
	switch {
	case errors.Is(err, measure.ErrNotMeasurable):
		return measure.ErrNotMeasurable.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "out of time, see --wall"
	}
	_, why, ok := strings.Cut(firstLine(err.Error()), ": ")
	if !ok {
		why = firstLine(err.Error())
	}
	return why
}

// randomMaps gives the object's maps contents that user space could have put
// there. What the object itself fixes stays.
func randomMaps(o *elf.Object, seed uint64, dict []uint64) []mapstate.State {
	var out []mapstate.State
	for _, name := range slices.Sorted(maps.Keys(o.Maps())) {
		m := o.Maps()[name]
		if m.ReadOnly || strings.Contains(name, ".rodata") || strings.Contains(name, ".kconfig") {
			continue
		}
		st := mapstate.Random(mapstate.Shape{Name: name, Type: uint32(m.Type), KeySize: m.KeySize, ValueSize: m.ValueSize,
			MaxEntries: m.MaxEntries, Flags: m.Flags}, seed, dict)
		if len(st.Entries) > 0 {
			out = append(out, st)
		}
	}
	return out
}

// constants are the numbers that the programs compare with or set: inputs with
// them take more ways.
func constants(o *elf.Object) []uint64 {
	seen := map[uint64]bool{}
	for _, f := range o.Functions() {
		for k := range f.Insns {
			in := &f.Insns[k]
			row := in.Row()
			switch {
			case in.Ref != nil:
			case row.Imm && (row.Kind == isa.KindCondJump || row.Kind == isa.KindStore || row.Fn == isa.FnMov), row.Kind == isa.KindLoadImm:
				seen[uint64(in.Imm)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
