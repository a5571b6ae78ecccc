package main

import (
	"context"
	"slices"
	"sync"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/optimizer/pipeline"
)

// kernel is one that judges: this host's or a virtual machine's.
type kernel interface {
	Load(ctx context.Context, object []byte, program string) (*loader.LoadResult, error)
	LoadWhole(ctx context.Context, object []byte, program string) (*loader.LoadResult, error)
	LoadUnset(ctx context.Context, object []byte, program string) (*loader.LoadResult, error)
}

// gate lets the pipeline ask a kernel. Where the kernel takes a program of the
// input whatever its constants are, it must take what replaces it so, too: a
// verifier that knows them sees only what they switch on.
type gate struct {
	name   string
	kernel kernel
	input  []byte // nil: constants are as each object has them

	mu    sync.Mutex
	unset map[string]bool // programs that the kernel takes whatever their constants are
	asIs  []string        // programs that need the constants that they have
}

func newGate(name string, k kernel, input []byte) *gate {
	return &gate{name: name, kernel: k, input: input, unset: map[string]bool{}}
}

func (g *gate) Name() string { return g.name }

func (g *gate) Load(ctx context.Context, object []byte, program string) (pipeline.GateResult, error) {
	return g.judge(ctx, object, program, g.kernel.Load)
}

func (g *gate) LoadWhole(ctx context.Context, object []byte, program string) (pipeline.GateResult, error) {
	return g.judge(ctx, object, program, g.kernel.LoadWhole)
}

func (g *gate) judge(ctx context.Context, object []byte, program string, load func(context.Context, []byte, string) (*loader.LoadResult, error)) (pipeline.GateResult, error) {
	r, err := verdict(load(ctx, object, program))
	if err != nil || !r.Accepted {
		return r, err
	}
	if any, err := g.takesAny(ctx, program); err != nil || !any {
		return r, err
	}
	u, err := g.kernel.LoadUnset(ctx, object, program)
	switch {
	case err != nil || u == nil:
		return r, err
	case !u.Accepted:
		u.Reason.Line = "with other constants than the object has in .rodata: " + u.Reason.Line
		return verdict(u, nil)
	}
	r.Besides = u.Stats.Insns
	return r, nil
}

// takesAny: the kernel takes the input's program whatever its constants are.
func (g *gate) takesAny(ctx context.Context, program string) (bool, error) {
	if g.input == nil {
		return false, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	any, known := g.unset[program]
	if known {
		return any, nil
	}
	r, err := g.kernel.LoadUnset(ctx, g.input, program)
	if err != nil {
		return false, err
	}
	if r != nil && !r.Accepted {
		g.asIs = append(g.asIs, program)
	}
	g.unset[program] = r != nil && r.Accepted
	return g.unset[program], nil
}

// needConstants lists the programs among names that a gate judged with the
// constants that they have only.
func needConstants(gates []pipeline.Gate, names []string) []string {
	var out []string
	for _, j := range gates {
		if g, ok := j.(*gate); ok {
			g.mu.Lock()
			out = append(out, g.asIs...)
			g.mu.Unlock()
		}
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(p string) bool { return !slices.Contains(names, p) })
}

func verdict(r *loader.LoadResult, err error) (pipeline.GateResult, error) {
	if err != nil {
		return pipeline.GateResult{FailSlot: -1}, err
	}
	return pipeline.GateResult{Accepted: r.Accepted, Reason: r.Reason.Line, Kind: string(r.Reason.Kind), Log: r.Log,
		FailFunc: r.Function, FailSlot: r.Slot, XlatedBytes: r.XlatedBytes, JitedBytes: r.JitedBytes,
		VerifiedInsns: r.Stats.Insns, Stack: r.Stats.Stack}, nil
}
