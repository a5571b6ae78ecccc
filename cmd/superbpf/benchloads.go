package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/tools"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// loadsSettings are the options of bench loads.
type loadsSettings struct {
	packages []string
	samples  string
	progType string
	out      string
}

func benchLoadsCommand() *cobra.Command {
	var s loadsSettings
	c := &cobra.Command{
		Use:   "loads [FILE.o | PROGRAM | FOLDER]...",
		Short: "Load objects before and after with every loader here",
		Long: `Reads each object and writes it again: with nothing changed, which must give the
same bytes; with all code moved and moved back; and in place, with padding. Then
loads all of these with every loader that this host has, and compares: cilium/ebpf,
bpftool (libbpf), and, in private namespaces, 'ip link' for XDP and 'tc' for
classifiers. Objects inside host programs, as libbpf's skeletons have them, are
found too.

--packages fetches Debian packages, takes the objects they hold, and leaves
nothing installed; --samples does so with a package of kernel sources, and
compiles of its samples/bpf what compiles with the headers at hand.

Exit code 0: each form loads exactly where the original does. 5: one does not.`,
		Example: `  sudo superbpf bench loads /usr/lib/bpf
  sudo superbpf bench loads --packages xdp-tools,libxdp1,libbpf-tools --samples linux-source-6.12`,
		RunE: func(c *cobra.Command, args []string) error {
			return s.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), args)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&s.packages, "packages", nil, "Debian packages to fetch objects from")
	f.StringVar(&s.samples, "samples", "", "Debian package of kernel sources to compile samples from")
	typeFlag(c, &s.progType)
	f.StringVar(&s.out, "out", "", "folder for the table (default: standard output alone)")
	return c
}

// loaded tells for each loader which programs of an object it loads.
type loaded map[string][]string

func (s *loadsSettings) run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	if len(args)+len(s.packages) == 0 && s.samples == "" {
		return fail(exitUsage, "name objects, folders, --packages or --samples")
	}
	k, err := loader.NewKernel()
	if err != nil {
		return err
	}
	defer k.Close()
	k.Type = s.progType
	dir, err := os.MkdirTemp("", "superbpf-objects-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	objects, err := s.gather(ctx, stderr, dir, args)
	if err != nil {
		return err
	}
	have := []string{"cilium/ebpf"}
	var others []tools.Tool
	for _, t := range tools.All() {
		if err := t.Available(); err != nil {
			fmt.Fprintf(stderr, "without %s: %v\n", t.Name, err)
			continue
		}
		have, others = append(have, t.Name), append(others, t)
	}
	t := measure.Table{
		Title:  fmt.Sprintf("Objects read, written, and loaded again, on Linux %s: programs loaded of the original, where the written forms load the same", loader.Release()),
		Header: append([]string{"object", "programs", "bytes unchanged"}, have...)}
	t.Rows = make([][]string, len(objects))
	var bad, done atomic.Int32
	p := newWait(stderr)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for n, o := range objects {
		group.Go(func() error {
			row, same, err := s.check(gctx, k, others, o)
			if gctx.Err() != nil {
				return errors.New("interrupted")
			}
			if err != nil {
				row = []string{o.name, "not read: " + firstLine(err.Error())}
			} else if !same {
				bad.Add(1)
			}
			for len(row) < len(t.Header) {
				row = append(row, "")
			}
			t.Rows[n] = row
			p.say(fmt.Sprintf("[%d/%d] %s", done.Add(1), len(objects), o.name))
			return nil
		})
	}
	err = group.Wait()
	p.finish()
	if err != nil {
		return err
	}
	if s.out != "" {
		var md, tsv bytes.Buffer
		if err := errors.Join(t.Markdown(&md), t.TSV(&tsv), os.MkdirAll(s.out, 0o777)); err != nil {
			return err
		}
		if err := writeFiles(file{filepath.Join(s.out, "loads.md"), md.Bytes()}, file{filepath.Join(s.out, "loads.tsv"), tsv.Bytes()}); err != nil {
			return err
		}
	}
	if err := t.Markdown(stdout); err != nil {
		return err
	}
	if n := bad.Load(); n > 0 {
		return fail(exitDifferent, "%d of %d objects load otherwise once written", n, len(objects))
	}
	return nil
}

// check loads all forms of an object.
func (s *loadsSettings) check(ctx context.Context, k *loader.Kernel, others []tools.Tool, o foundObject) (row []string, same bool, err error) {
	obj, err := elf.ReadAs(o.data, s.progType)
	if err != nil {
		return nil, false, err
	}
	programs := 0
	for _, f := range obj.Functions() {
		if f.Entry {
			programs++
		}
	}
	row = []string{o.name, fmt.Sprint(programs), "yes"}
	copied, err := obj.Encode(nil)
	same = err == nil && string(copied) == string(o.data)
	if !same {
		row[2] = "NO"
	}
	forms, err := writtenForms(o.data, s.progType)
	if err != nil {
		return nil, false, err
	}
	want, err := s.load(ctx, k, others, obj, o.data)
	if err != nil {
		return nil, false, err
	}
	differs := map[string]string{}
	for form, b := range forms {
		got, err := s.load(ctx, k, others, obj, b)
		if err != nil {
			return nil, false, err
		}
		for name := range want {
			if !slices.Equal(got[name], want[name]) {
				differs[name] = fmt.Sprintf("%s: loads %v, not %v", form, got[name], want[name])
			}
		}
	}
	add := func(name string) {
		_, tried := want[name]
		switch {
		case differs[name] != "":
			row, same = append(row, differs[name]), false
		case !tried:
			row = append(row, "-")
		default:
			row = append(row, fmt.Sprint(len(want[name])))
		}
	}
	add("cilium/ebpf")
	for _, t := range others {
		add(t.Name)
	}
	return row, same, nil
}

// load finds which programs each loader takes; a loader that none of the
// programs is for is left out.
func (s *loadsSettings) load(ctx context.Context, k *loader.Kernel, others []tools.Tool, obj *elf.Object, object []byte) (loaded, error) {
	out := loaded{"cilium/ebpf": nil}
	for _, f := range obj.Functions() {
		if !f.Entry {
			continue
		}
		r, err := k.LoadWhole(ctx, object, f.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if r.Accepted {
			out["cilium/ebpf"] = append(out["cilium/ebpf"], f.Name)
		}
	}
	slices.Sort(out["cilium/ebpf"])
	for _, t := range others {
		var names []string
		for _, f := range obj.Functions() {
			if f.Entry && (len(t.Types) == 0 || slices.Contains(t.Types, uint32(f.Type))) {
				names = append(names, f.Name)
			}
		}
		if len(names) == 0 {
			continue
		}
		got, _, err := t.Load(ctx, object, names)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		out[t.Name] = got
	}
	return out, nil
}

// writtenForms writes an object with every instruction of every function that
// is understood moved, moved back again, and moved back within its place.
func writtenForms(raw []byte, typ string) (map[string][]byte, error) {
	moved := func(raw []byte, inPlace, insert bool) ([]byte, error) {
		o, err := elf.ReadAs(raw, typ)
		if err != nil {
			return nil, err
		}
		o.InPlace = inPlace
		repl := map[int]*prog.Func{}
		for i, f := range o.Functions() {
			if f.Unsupported != "" {
				continue
			}
			g := f.Clone()
			if insert {
				err = g.Splice(0, 0, []prog.Insn{prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: isa.R0, Imm: 77})})
			} else {
				g.Insns[0] = prog.New(isa.Insn{Op: isa.Nop})
				g.Compact()
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			repl[i] = g
		}
		return o.Encode(repl)
	}
	grown, err := moved(raw, false, true)
	if err != nil {
		return nil, err
	}
	back, err := moved(grown, false, false)
	if err != nil {
		return nil, err
	}
	padded, err := moved(grown, true, false)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"moved": grown, "moved back": back, "in place": padded}, nil
}

// foundObject is an object and where it comes from.
type foundObject struct {
	name string
	data []byte
}

// gather finds the objects in what was named.
func (s *loadsSettings) gather(ctx context.Context, stderr io.Writer, dir string, args []string) ([]foundObject, error) {
	var list []foundObject
	for _, a := range args {
		found, err := findObjects(a, filepath.Base(a))
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	for _, p := range s.packages {
		root, err := unpackPackage(ctx, stderr, p, dir)
		if err != nil {
			return nil, err
		}
		found, err := findObjects(root, p)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	if s.samples != "" {
		found, err := compileSamples(ctx, stderr, s.samples, dir)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	if len(list) == 0 {
		return nil, errors.New("no BPF objects there")
	}
	slices.SortStableFunc(list, func(a, b foundObject) int { return strings.Compare(a.name, b.name) })
	return list, nil
}
