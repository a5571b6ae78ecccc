package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/safety"
	"github.com/superbpf/superbpf/optimizer/steps"
)

// FuncResult is what became of one function.
type FuncResult struct {
	Index   int
	Name    string
	Section string
	Entry   bool
	Input   *prog.Func
	Output  *prog.Func
	Steps   []Step
	Before  cost.Estimate
	After   cost.Estimate
	Refused Refusals
	Stats   map[string]*TransformStats
	Took    time.Duration
	Spent   int64 // steps, see package steps
	// Cut: the budget ended the search.
	Cut     bool
	Skipped string // why the function was left alone, empty if it was not
	// Uncalled: the output does not call the function any more, so that it is not
	// loaded; After is zero.
	Uncalled bool
	Programs []string
	// Measured is what measurement said, empty if it was not asked.
	Measured string
	// withdrawn are the keys of rewrites that measurement took back.
	withdrawn dropped
}

// TransformStats counts what a transform achieved.
type TransformStats struct {
	Tried, Kept, Unproved, Refused int
	Slots                          int // slots saved
	// Moves are the proposals of a search at random, by kind.
	Moves []MoveStats
}

// Result is what became of an object.
type Result struct {
	Functions []FuncResult
	Programs  []ProgResult
	Replaced  map[int]*prog.Func
	Output    []byte
	// Stopped says that the run was interrupted or out of budget; the output
	// is the best so far.
	Stopped bool
	// Notes are remarks about the output as a whole, for the report.
	Notes []string
}

// Changed reports whether any function got better.
func (r *Result) Changed() bool { return len(r.Replaced) > 0 }

type driver struct {
	opt      Options
	obj      Object
	replaced map[int]*prog.Func
	verified map[int]int    // instructions processed, by function
	before   map[string]int // instructions processed of the input, by program
	// judges are the gates that accept a program as it came.
	judges map[string][]Gate
	graph  *callGraph
	toCome int // the extents of the functions that are yet to be worked on, together
}

func newDriver(obj Object, opt Options) *driver {
	if opt.Model == nil {
		opt.Model = cost.Default()
	}
	if opt.MaxRounds == 0 {
		opt.MaxRounds = 12
	}
	return &driver{opt: opt, obj: obj, replaced: map[int]*prog.Func{}, verified: map[int]int{}, before: map[string]int{}, judges: map[string][]Gate{}, graph: newCallGraph(obj.Functions())}
}

// start makes the work on a function.
func (d *driver) start(i int, f *prog.Func) *work {
	w := &work{driver: d, index: i, input: f, cur: f.Clone(), dropped: dropped{}, stats: map[string]*TransformStats{}, misled: map[string]int{}, rest: map[string]*prog.Func{}}
	if d.opt.Weights != nil {
		w.weights = d.opt.Weights(f)
	}
	w.est = w.price(w.cur)
	return w
}

// Optimize improves every function of obj. Cancelling ctx ends the search
// early and still returns the best result so far.
func Optimize(ctx context.Context, obj Object, opt Options) (*Result, error) {
	if len(opt.Gates) == 0 {
		return nil, ErrNoGate
	}
	d := newDriver(obj, opt)
	res := &Result{}
	if err := d.baseline(ctx, res); err != nil {
		return nil, err
	}
	all, end := d.begin(ctx)
	defer end()
	funcs := obj.Functions()
	res.Functions = make([]FuncResult, len(funcs))
	order := d.topDown()
	for _, i := range order {
		d.toCome += d.extent(funcs[i])
	}
	for _, i := range order {
		fr, err := d.function(all, i, funcs[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", funcs[i].Name, err)
		}
		res.Functions[i] = fr
		d.toCome -= d.extent(funcs[i])
	}
	res.Replaced = d.replaced
	res.countLoaded(obj)
	res.Stopped = ctx.Err() != nil
	out, err := obj.Encode(d.replaced)
	if err != nil {
		return nil, err
	}
	res.Output = out
	return res, Confirm(ctx, res, opt.Gates)
}

func (d *driver) function(ctx context.Context, i int, f *prog.Func) (FuncResult, error) {
	start := time.Now()
	w := d.start(i, f)
	fr := FuncResult{Index: i, Name: f.Name, Section: f.Section, Entry: f.Entry, Input: f, Output: f,
		Before: w.est, After: w.est, Stats: w.stats, Programs: d.obj.Users(i)}
	loadable := 0
	for _, p := range fr.Programs {
		if len(d.judges[p]) > 0 {
			loadable++
		}
	}
	switch {
	case len(d.opt.Only) > 0 && !d.opt.Only[f.Name]:
		fr.Skipped = "not asked for"
	case len(fr.Programs) == 0:
		fr.Skipped = "no program contains it, so no kernel can judge it"
	case loadable < len(fr.Programs):
		fr.Skipped = refusesInput
	case f.Unsupported != "":
		fr.Skipped = f.Unsupported
	default:
		fr.Uncalled = !d.loaded()[i]
	}
	if fr.Skipped != "" || fr.Uncalled {
		return fr, nil
	}
	if n, known := d.inputProcessed(i); known {
		d.verified[i], w.processed = n, n
	} else if r, err := d.gate(ctx, i, w.cur); err == nil && r.Accepted {
		d.verified[i], w.processed = r.VerifiedInsns, r.VerifiedInsns
	}
	v := safety.Check(w.cur)
	w.modelled = v.Complete && !v.Refused
	runCtx, end := d.limit(ctx, f)
	defer end()
	var err error
	if d.opt.Objective == cost.Complexity {
		w, err = d.untangle(runCtx, w)
	} else {
		err = w.improve(runCtx)
	}
	if err == nil {
		err = w.last(runCtx)
	}
	if err != nil {
		return fr, err
	}
	w.takeMoves()
	fr.Stats, fr.Spent, fr.Cut = w.stats, steps.Spent(runCtx), runCtx.Err() != nil
	fr.Output, fr.Steps, fr.Refused = w.cur, w.steps, w.refused
	fr.Took = time.Since(start)
	d.tell(w, "done", true)
	return fr, nil
}

// improve works until nothing helps any more.
func (w *work) improve(ctx context.Context) error {
	if err := w.run(ctx); err != nil {
		return err
	}
	if w.opt.Explore == 0 {
		return nil
	}
	within, end := w.exploring(ctx)
	defer end()
	if err := w.explore(within); err != nil {
		return err
	}
	return w.run(ctx)
}

// last spends what is left of the budget.
func (w *work) last(ctx context.Context) error {
	if len(w.opt.Last) == 0 {
		return nil
	}
	d := *w.driver
	d.opt.Search, d.opt.Last = slices.Concat(d.opt.Search, d.opt.Last), nil
	w.driver = &d
	return w.run(ctx)
}

// exploring leaves half of the budget to what comes last, if anything does.
func (w *work) exploring(ctx context.Context) (context.Context, context.CancelFunc) {
	var half Budget
	if len(w.opt.Last) > 0 {
		if left, limited := steps.Left(ctx); limited {
			half.Steps = func(int) int64 { return max(1, left/2) }
		}
		if end, ok := ctx.Deadline(); ok {
			half.Wall = max(1, time.Until(end)/2)
		}
	}
	return half.start(ctx, 0)
}

// run alternates the cheap transforms, to a fixed point, with the search.
func (w *work) run(ctx context.Context) error {
	for round := 0; round < w.opt.MaxRounds && ctx.Err() == nil; round++ {
		any, err := w.round(ctx)
		if err != nil {
			return err
		}
		if any {
			continue
		}
		for _, t := range w.opt.Search {
			w.tell(w, t.Name(), false)
			ok, err := w.apply(ctx, t)
			if err != nil {
				return err
			}
			any = any || ok
		}
		if !any {
			return nil
		}
	}
	return nil
}

func (d *driver) tell(w *work, step string, done bool) {
	if d.opt.Progress != nil {
		d.opt.Progress(Event{Function: w.input.Name, Step: step, Slots: w.est.Slots, SlotsStart: w.input.Slots(), Nanos: w.est.Total(), Done: done})
	}
}
