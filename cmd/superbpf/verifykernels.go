package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/olekukonko/tablewriter"

	"github.com/superbpf/superbpf/optimizer/elf"
)

// verifyLoads asks kernels about the programs of a pair of objects and prints
// what they say. Where a kernel takes the input it must take the output.
func verifyLoads(ctx context.Context, w, progress io.Writer, kernels []string, typ, inName, outName string) error {
	in, err := os.ReadFile(inName)
	if err != nil {
		return err
	}
	out, err := os.ReadFile(outName)
	if err != nil {
		return err
	}
	a, err := elf.ReadAs(in, typ)
	if err != nil {
		return fmt.Errorf("%s: %w", inName, err)
	}
	g, err := openGates(ctx, kernels, typ, progress)
	if err != nil {
		return err
	}
	defer g.Close()
	judges, done, err := g.Judges(in)
	if err != nil {
		return err
	}
	defer done()
	t := tablewriter.NewWriter(w)
	t.Header("program", "kernel", "input", "output")
	refused := 0
	for _, f := range a.Functions() {
		if !f.Entry {
			continue
		}
		for _, j := range judges {
			x, err := j.(*gate).LoadWhole(ctx, in, f.Name)
			if err != nil {
				return err
			}
			y, err := j.(*gate).LoadWhole(ctx, out, f.Name)
			if err != nil {
				return err
			}
			if x.Accepted && !y.Accepted {
				refused++
			}
			words := [2]string{"accepted", "accepted"}
			if !x.Accepted {
				words[0] = "refused: " + x.Reason
			}
			if !y.Accepted {
				words[1] = "refused: " + y.Reason
			}
			if err := t.Append(f.Name, j.Name(), words[0], words[1]); err != nil {
				return err
			}
		}
	}
	if err := t.Render(); err != nil {
		return err
	}
	if refused > 0 {
		return fail(exitUnproved, "%d programs that a kernel accepts are refused in the other object", refused)
	}
	return nil
}
