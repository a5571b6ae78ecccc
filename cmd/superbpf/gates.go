package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/guest"
	"github.com/superbpf/superbpf/optimizer/pipeline"
)

// runningKernel names the kernel of this host in --kernels.
const runningKernel = "running"

const kernelsHelp = "kernels whose verifiers must accept the output: running, and versions such as 6.1 and 6.12, which are run in virtual machines"

func kernelsFlag(c *cobra.Command, to *[]string, def []string) {
	c.Flags().StringSliceVar(to, "kernels", def, kernelsHelp)
}

// gates are the kernels that judge. Those of virtual machines stay up until
// Close.
type gates struct {
	names  []string
	typ    string
	guests map[string]*guest.Guest
	levels map[string]int
}

// openGates prepares the kernels named; none means the running one. typ is the
// type of programs whose section gives none. What takes long is told to w.
func openGates(ctx context.Context, names []string, typ string, w io.Writer) (g *gates, err error) {
	if len(names) == 0 {
		names = []string{runningKernel}
	}
	for k, n := range names {
		if slices.Contains(names[:k], n) {
			return nil, fail(exitUsage, "--kernels names %s twice", n)
		}
		if n != runningKernel && guest.CheckVersion(n) != nil {
			return nil, fail(exitUsage, "--kernels: %v, or %q", guest.CheckVersion(n), runningKernel)
		}
	}
	g = &gates{names: names, typ: typ, guests: map[string]*guest.Guest{}, levels: map[string]int{}}
	if slices.Contains(names, runningKernel) {
		l := loader.Level()
		if l == 0 {
			return nil, loader.ErrPrivilege
		}
		g.levels[runningKernel] = l
	}
	if err := g.boot(ctx, w); err != nil {
		g.Close()
		return nil, err
	}
	for n, v := range g.guests {
		v.Type = typ
		g.levels[n] = v.Level()
	}
	return g, nil
}

// only is one of the kernels alone; it needs no Close.
func (g *gates) only(name string) *gates {
	one := *g
	one.names = []string{name}
	return &one
}

// Judges gives the gates for one object and what replaces it, nil for any; done
// frees the maps that they made for it.
func (g *gates) Judges(object []byte) (list []pipeline.Gate, done func(), err error) {
	done = func() {}
	for _, n := range g.names {
		if v := g.guests[n]; v != nil {
			v.Forget()
			list = append(list, newGate(n+" ("+v.Release()+")", v, object))
			continue
		}
		k, err := loader.NewKernel()
		if err != nil {
			return nil, nil, err
		}
		k.Type = g.typ
		done = func() { k.Close() }
		list = append(list, newGate(runningKernel+" "+loader.Release(), k, object))
	}
	return list, done, nil
}

// boot fetches and starts the virtual machines, all at once.
func (g *gates) boot(ctx context.Context, w io.Writer) error {
	images := map[string]*guest.Image{}
	for _, n := range g.names {
		if n == runningKernel {
			continue
		}
		if err := guest.Available(); err != nil {
			return fmt.Errorf("--kernels %s: %w", n, err)
		}
		img, err := guest.Resolve(ctx, n, func(s string) { fmt.Fprintln(w, s) })
		if err != nil {
			return fmt.Errorf("--kernels %s: %w", n, err)
		}
		images[n] = img
		fmt.Fprintf(w, "starting Linux %s in a virtual machine\n", img.Release)
	}
	var mu sync.Mutex
	var group errgroup.Group
	for n, img := range images {
		group.Go(func() error {
			v, err := guest.Start(ctx, img)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				g.guests[n] = v
			}
			return err
		})
	}
	return group.Wait()
}

// Close ends the virtual machines.
func (g *gates) Close() {
	for _, v := range g.guests {
		v.Close()
	}
}

// Level is the newest instruction set level that all of the kernels load.
func (g *gates) Level() int {
	level := 4
	for _, n := range g.names {
		level = min(level, g.levels[n])
	}
	return level
}
