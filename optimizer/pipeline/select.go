package pipeline

import (
	"context"
	"fmt"
	"maps"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// Ranking is what measurement says of candidate objects.
type Ranking struct {
	// Best is the index of the candidate to keep; 0 is the input.
	Best int
	// Slower: the first candidate after the input is slower than the input.
	Slower bool
	// Note says how they compare, in a line.
	Note string
}

// Meter measures candidate objects by running one of their programs. The first
// is the input; the others come in order of preference.
type Meter interface {
	Race(ctx context.Context, program string, objects [][]byte) (Ranking, error)
	// Slower reports whether an object's program is slower than another's.
	Slower(ctx context.Context, program string, than, object []byte) (bool, error)
}

// maxWithdrawn bounds the rewrites of one program that measurement takes back one
// by one.
const maxWithdrawn = 3

// Select lets measurement decide between the final form of each program, the
// forms on the way to it, and the input. If the final form is slower than the
// input, the rewrite that made it so is withdrawn; otherwise a form on the way
// that is faster takes its place. It changes res. Programs that cannot be measured
// keep their final form. opt are the options that res was made with.
func Select(ctx context.Context, obj Object, res *Result, opt Options, m Meter) error {
	for k := range res.Functions {
		fr := &res.Functions[k]
		if !fr.Entry || len(fr.Steps) == 0 || ctx.Err() != nil {
			continue
		}
		input, err := obj.Encode(nil)
		if err != nil {
			return err
		}
		objects, steps := [][]byte{input}, []int{0}
		for _, n := range prefixes(len(fr.Steps)) {
			o, err := encodeWith(obj, res.Replaced, fr.Index, fr.Steps[n-1].After)
			if err != nil {
				return err
			}
			objects, steps = append(objects, o), append(steps, n)
		}
		r, err := m.Race(ctx, fr.Name, objects)
		if err != nil {
			fr.Measured = "not measured: " + err.Error()
			continue
		}
		fr.Measured = r.Note
		if r.Slower {
			if err := withdrawAll(ctx, obj, res, fr, opt, m); err != nil {
				return err
			}
			continue
		}
		if n := steps[r.Best]; n != len(fr.Steps) {
			fr.keep(res, n)
		}
	}
	return res.encode(obj)
}

// withdrawAll takes back rewrites until the program is no longer slower than the
// input.
func withdrawAll(ctx context.Context, obj Object, res *Result, fr *FuncResult, opt Options, m Meter) error {
	input, err := obj.Encode(nil)
	if err != nil {
		return err
	}
	for range maxWithdrawn {
		if err := withdraw(ctx, obj, res, fr, opt, m); err != nil {
			return err
		}
		if len(fr.Steps) == 0 || ctx.Err() != nil {
			return nil
		}
		slower, err := m.Slower(ctx, fr.Name, input, res.Output)
		if err != nil || !slower {
			return err
		}
	}
	// It has no single cause: what is left is not worth its time.
	fr.keep(res, 0)
	return res.encode(obj)
}

// Withdraw takes back the rewrite that made a program slower than the input, which
// it was found to be; false when there is none left. It changes res.
func Withdraw(ctx context.Context, obj Object, res *Result, program string, opt Options, m Meter) (bool, error) {
	for k := range res.Functions {
		fr := &res.Functions[k]
		if fr.Entry && fr.Name == program && len(fr.Steps) > 0 {
			return true, withdraw(ctx, obj, res, fr, opt, m)
		}
	}
	return false, nil
}

// withdraw finds the first step with which the function is slower than the input,
// by bisection, and goes on from the form before it without that step's rewrites.
func withdraw(ctx context.Context, obj Object, res *Result, fr *FuncResult, opt Options, m Meter) error {
	input, err := obj.Encode(nil)
	if err != nil {
		return err
	}
	lo, hi := 0, len(fr.Steps) // not slower after lo steps, slower after hi
	for hi-lo > 1 {
		mid := lo + (hi-lo)/2
		o, err := encodeWith(obj, res.Replaced, fr.Index, fr.Steps[mid-1].After)
		if err != nil {
			return err
		}
		slower, err := m.Slower(ctx, fr.Name, input, o)
		if err != nil {
			return err
		}
		if slower {
			hi = mid
		} else {
			lo = mid
		}
	}
	bad := fr.Steps[lo]
	fr.Steps = fr.Steps[:lo]
	if err := redo(ctx, obj, res, fr, opt, bad); err != nil {
		return err
	}
	fr.Measured += fmt.Sprintf("; withdrawn, since it made the program slower: %s (%d rewrites)", bad.Transform, len(bad.Changes))
	return res.encode(obj)
}

// redo optimizes a function again from its last step on, without the rewrites of
// a step that was taken back.
func redo(ctx context.Context, obj Object, res *Result, fr *FuncResult, opt Options, bad Step) error {
	d := newDriver(obj, opt)
	for _, p := range res.Programs {
		for k, g := range opt.Gates {
			if p.Kernels[k].Before.Accepted {
				d.judges[p.Name] = append(d.judges[p.Name], g)
			}
		}
	}
	d.replaced = res.Replaced
	w := d.start(fr.Index, fr.Input)
	for _, s := range fr.Steps {
		w.steps, w.cur = append(w.steps, s), s.After
	}
	w.est = w.price(w.cur)
	if fr.withdrawn == nil {
		fr.withdrawn = dropped{}
	}
	for _, c := range bad.Changes {
		// Named in the function that the step started from.
		t := named(bad.Transform)
		fr.withdrawn[w.key(t, c)] = refusedForever
	}
	w.banned = fr.withdrawn
	maps.Copy(w.dropped, w.banned)
	if w.steps == nil {
		delete(d.replaced, fr.Index)
	} else {
		d.replaced[fr.Index] = w.cur
	}
	if r, err := d.gate(ctx, fr.Index, w.cur); err == nil && r.Accepted {
		d.verified[fr.Index] = r.VerifiedInsns
	}
	if opt.Budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, opt.Budget)
		defer cancel()
	}
	err := w.improve(ctx)
	fr.Output, fr.Steps, fr.After = w.cur, w.steps, w.est
	if len(fr.Steps) == 0 {
		fr.Output = fr.Input
	}
	return err
}

// named is a transform that is known by name alone.
type named string

func (n named) Name() string { return string(n) }

// keep leaves the first n steps of a function.
func (fr *FuncResult) keep(res *Result, n int) {
	fr.Measured += fmt.Sprintf("; %d of %d steps withdrawn", len(fr.Steps)-n, len(fr.Steps))
	fr.Steps = fr.Steps[:n]
	fr.Output, fr.After = fr.Input, fr.Before
	delete(res.Replaced, fr.Index)
	if n > 0 {
		fr.Output, fr.After = fr.Steps[n-1].After, fr.Steps[n-1].Cost
		res.Replaced[fr.Index] = fr.Output
	}
}

func (res *Result) encode(obj Object) (err error) {
	res.Output, err = obj.Encode(res.Replaced)
	return err
}

// prefixes picks how many of n steps the candidates have: all, and about two
// thirds and one third of them.
func prefixes(n int) []int {
	out := []int{n}
	for _, p := range []int{(2*n + 1) / 3, (n + 1) / 3} {
		if p > 0 && p < out[len(out)-1] {
			out = append(out, p)
		}
	}
	return out
}

func encodeWith(obj Object, replaced map[int]*prog.Func, i int, f *prog.Func) ([]byte, error) {
	r := maps.Clone(replaced)
	r[i] = f
	return obj.Encode(r)
}
