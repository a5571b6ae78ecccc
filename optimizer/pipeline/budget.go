package pipeline

import (
	"context"
	"time"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/steps"
)

// What loading a candidate counts, in steps: itself, and for each instruction that
// is written and that the verifier processes.
const (
	stepLoad     = 5000
	stepWritten  = 10
	stepVerified = 3
	// For each instruction, what the model of the checker takes.
	stepModelled = 50
)

// begin starts the total budget of an object.
func (d *driver) begin(ctx context.Context) (context.Context, context.CancelFunc) {
	insns := 0
	for _, f := range d.obj.Functions() {
		insns += len(f.Insns)
	}
	return d.opt.Total.start(ctx, insns)
}

// start gives a context that ends with the budget.
func (b Budget) start(ctx context.Context, insns int) (context.Context, context.CancelFunc) {
	limit := int64(0)
	if b.Steps != nil {
		limit = b.Steps(insns)
	}
	ctx, end := steps.With(ctx, limit)
	if b.Wall <= 0 {
		return ctx, end
	}
	timed, stop := context.WithTimeout(ctx, b.Wall)
	return timed, func() { stop(); end() }
}

// extent is the size, in instructions, that the work on a function is measured by: its
// own and, at each call, that of what may come to stand there.
func (d *driver) extent(f *prog.Func) int {
	n := len(f.Insns)
	for k := range f.Insns {
		if in := &f.Insns[k]; in.Row().Kind == isa.KindCallFunc {
			if t := d.graph.target(in); t >= 0 && prog.Enterable(d.obj.Functions()[t]) == nil {
				n += len(d.obj.Functions()[t].Insns)
			}
		}
	}
	return n
}

// limit gives a function its own budget, or its share of what is left of the
// total if that is less.
func (d *driver) limit(ctx context.Context, f *prog.Func) (context.Context, context.CancelFunc) {
	size := d.extent(f)
	share := func(n int64) int64 { return max(1, int64(float64(n)*float64(size)/float64(max(1, d.toCome)))) }
	b := d.opt.Budget
	own := int64(0)
	if b.Steps != nil {
		own = b.Steps(size)
	}
	if left, limited := steps.Left(ctx); limited {
		if n := share(left); own == 0 || n < own {
			own = n
		}
	}
	if end, ok := ctx.Deadline(); ok {
		if n := time.Duration(share(int64(time.Until(end)))); b.Wall == 0 || n < b.Wall {
			b.Wall = n
		}
	}
	b.Steps = func(int) int64 { return own }
	return b.start(ctx, size)
}
