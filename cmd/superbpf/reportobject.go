package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"

	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/pipeline"
)

// certSuffix is what a certificate's name has more than its object's.
const certSuffix = ".cert.json"

// objectReport says what was done to an object, by its certificate. Sizes are in
// slots of 8 bytes.
type objectReport struct {
	Object    string           `json:"object"`
	Problem   string           `json:"problem,omitempty"` // why the certificate cannot be believed to be about it
	Solver    string           `json:"solver,omitempty"`
	Atomics   bool             `json:"allow_atomics,omitempty"` // plain read-modify-writes may have become atomic
	Functions []functionReport `json:"functions,omitempty"`
}

type functionReport struct {
	Name    string `json:"name"`
	Section string `json:"section"`
	Before  int    `json:"slots_before"`
	After   int    `json:"slots_after"`
	// Rewrites are the proved steps; Saved the slots that each transform's saved.
	Rewrites int            `json:"rewrites"`
	Saved    map[string]int `json:"slots_saved_by,omitempty"`
	Assumes  []string       `json:"assumes,omitempty"`
	Kernels  []string       `json:"accepted_by,omitempty"`
}

// reportObject reads an object and the certificate beside it.
func reportObject(path string) (*objectReport, error) {
	raw, o, err := readObject(path, "")
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path + certSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s%s is missing: 'superbpf optimize' writes it beside its output", path, certSuffix)
	} else if err != nil {
		return nil, err
	}
	r := &objectReport{Object: path}
	cert, err := pipeline.CertificateOf(b, raw)
	if err != nil {
		r.Problem = err.Error()
		return r, nil
	}
	r.Solver, r.Atomics = cert.Solver, cert.AllowAtomics
	chains := map[int]*pipeline.FunctionCertificate{}
	for k := range cert.Functions {
		c := &cert.Functions[k]
		if c.Slots == 0 {
			r.Problem = "the certificate is of an older program and does not say how large the input was"
			return r, nil
		}
		chains[c.Index] = c
	}
	for i, f := range o.Functions() {
		r.Functions = append(r.Functions, describeFunction(i, o, chains[i], f.Slots(), cert.Kernels))
	}
	return r, nil
}

// describeFunction reports about function i, which has so many slots now.
func describeFunction(i int, o *elf.Object, chain *pipeline.FunctionCertificate, slots int, kernels map[string][]string) functionReport {
	f := o.Functions()[i]
	x := functionReport{Name: f.Name, Section: f.Section, Before: slots, After: slots}
	if f.Entry {
		x.Kernels = kernels[f.Name]
	}
	if chain == nil {
		return x
	}
	x.Before, x.Rewrites, x.Saved = chain.Slots, len(chain.Links), map[string]int{}
	now := chain.Slots
	for k := range chain.Links {
		l := &chain.Links[k]
		x.Saved[l.Transform] += now - l.Slots()
		now = l.Slots()
		for _, a := range l.Assumptions {
			if !slices.Contains(x.Assumes, a) {
				x.Assumes = append(x.Assumes, a)
			}
		}
	}
	x.After = now
	return x
}

// reportFolder reads the objects below a folder that have a certificate.
func reportFolder(dir string) ([]*objectReport, error) {
	var list []*objectReport
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, certSuffix) {
			return err
		}
		object := strings.TrimSuffix(p, certSuffix)
		if _, err := os.Stat(object); errors.Is(err, fs.ErrNotExist) {
			list = append(list, &objectReport{Object: object, Problem: "the object is gone"})
			return nil
		}
		r, err := reportObject(object)
		if err != nil {
			return err
		}
		list = append(list, r)
		return nil
	})
	return list, err
}

// write prints a row a function and what the transforms saved.
func (r *objectReport) write(w io.Writer) error {
	if r.Problem != "" {
		_, err := fmt.Fprintf(w, "%s: %s\n", r.Object, r.Problem)
		return err
	}
	t := tablewriter.NewWriter(w)
	t.Header("function", "section", "slots", "saved", "rewrites", "accepted by")
	var n notes
	saved := map[string]int{}
	for _, f := range r.Functions {
		rewrites := "unchanged"
		if f.Rewrites > 0 {
			rewrites = fmt.Sprintf("%d, proved", f.Rewrites)
		}
		if len(f.Assumes) > 0 {
			rewrites += " " + n.add(f.Name, "assumes: "+strings.Join(f.Assumes, "; "))
		}
		for name, s := range f.Saved {
			saved[name] += s
		}
		if err := t.Append(shorten(f.Name, nameWidth), f.Section, change(f.Before, f.After), percent(f.Before, f.After), rewrites, strings.Join(f.Kernels, ", ")); err != nil {
			return err
		}
	}
	if err := t.Render(); err != nil {
		return err
	}
	if err := n.write(w); err != nil {
		return err
	}
	if r.Atomics {
		if _, err := fmt.Fprintln(w, "Plain read-modify-writes of memory may have become atomic operations (--allow-atomics)."); err != nil {
			return err
		}
	}
	return writeSaved(w, saved)
}

// writeSaved prints the slots that transforms saved, most first. One that costs
// slots made room for another, or code faster.
func writeSaved(w io.Writer, saved map[string]int) error {
	if len(saved) == 0 {
		return nil
	}
	names := slices.SortedFunc(maps.Keys(saved), func(a, b string) int {
		if saved[a] != saved[b] {
			return saved[b] - saved[a]
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s %d", name, saved[name]))
	}
	return wrap(w, "slots saved by: "+strings.Join(parts, ", "), noteWidth, "    ")
}

// writeObjects prints a row an object, and their sum.
func writeObjects(w io.Writer, list []*objectReport) error {
	t := tablewriter.NewWriter(w)
	t.Header("object", "slots", "saved", "functions changed", "rewrites", "accepted by")
	var n notes
	saved := map[string]int{}
	sum := [2]int{}
	changed, functions, rewrites := 0, 0, 0
	for _, r := range list {
		if r.Problem != "" {
			if err := t.Append(shorten(filepath.Base(r.Object), nameWidth), "", "", "", "left out "+n.add(filepath.Base(r.Object), r.Problem), ""); err != nil {
				return err
			}
			continue
		}
		var x [2]int
		did, steps := 0, 0
		var kernels []string
		for _, f := range r.Functions {
			x[0], x[1] = x[0]+f.Before, x[1]+f.After
			if steps += f.Rewrites; f.Rewrites > 0 {
				did++
			}
			for _, k := range f.Kernels {
				if !slices.Contains(kernels, k) {
					kernels = append(kernels, k)
				}
			}
			for name, s := range f.Saved {
				saved[name] += s
			}
		}
		sum[0], sum[1] = sum[0]+x[0], sum[1]+x[1]
		changed, functions, rewrites = changed+did, functions+len(r.Functions), rewrites+steps
		if err := t.Append(shorten(filepath.Base(r.Object), nameWidth), change(x[0], x[1]), percent(x[0], x[1]), fmt.Sprintf("%d of %d", did, len(r.Functions)), steps, strings.Join(kernels, ", ")); err != nil {
			return err
		}
	}
	if len(list) > 1 {
		if err := t.Append("all", change(sum[0], sum[1]), percent(sum[0], sum[1]), fmt.Sprintf("%d of %d", changed, functions), rewrites, ""); err != nil {
			return err
		}
	}
	if err := t.Render(); err != nil {
		return err
	}
	if err := n.write(w); err != nil {
		return err
	}
	return writeSaved(w, saved)
}
