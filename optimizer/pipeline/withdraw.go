package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/superbpf/superbpf/optimizer/prog"
)

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
// by bisection, then the rewrite in it that is to blame, and goes on from the form
// before the step without that rewrite.
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
	guilty, in, err := culprits(ctx, obj, res, fr, opt, m, bad)
	if err != nil {
		return err
	}
	if err := redo(ctx, obj, res, fr, opt, bad.Transform, guilty, in); err != nil {
		return err
	}
	what := fmt.Sprintf("%d rewrites", len(guilty))
	if len(guilty) == 1 {
		what = guilty[0].Text
	}
	fr.Measured += fmt.Sprintf("; withdrawn, since it made the program slower: %s (%s)", bad.Transform, what)
	return res.encode(obj)
}

// culprits narrows a step that made a function slower down to the rewrite that did,
// by measuring the function with ever fewer of the step's rewrites. All of them are
// to blame where they cannot be made one without the other, or where only together
// they are slow. in is the function that the places of the changes are in.
func culprits(ctx context.Context, obj Object, res *Result, fr *FuncResult, opt Options, m Meter, bad Step) (guilty []Change, in *prog.Func, err error) {
	before := fr.Input
	if n := len(fr.Steps); n > 0 {
		before = fr.Steps[n-1].After
	}
	if len(bad.links) > 0 {
		return weakest(ctx, obj, res, fr, m, before, bad.links)
	}
	guilty, err = narrowed(ctx, obj, res, fr, opt, m, bad, before)
	return guilty, before, err
}

// weakest finds the first link of a series with which the function is slow.
func weakest(ctx context.Context, obj Object, res *Result, fr *FuncResult, m Meter, before *prog.Func, links []link) ([]Change, *prog.Func, error) {
	than, err := encodeWith(obj, res.Replaced, fr.Index, before)
	if err != nil {
		return nil, nil, err
	}
	lo, hi := 0, len(links) // not slower after lo links, slower after hi
	for hi-lo > 1 && ctx.Err() == nil {
		mid := lo + (hi-lo)/2
		o, err := encodeWith(obj, res.Replaced, fr.Index, links[mid-1].after)
		if err != nil {
			return nil, nil, err
		}
		if slower, err := m.Slower(ctx, fr.Name, than, o); err == nil && slower {
			hi = mid
		} else {
			lo = mid // or the kernel does not take it so
		}
	}
	if hi > 1 {
		before = links[hi-2].after
	}
	return links[hi-1].changes, before, nil
}

// narrowed is culprits of a step whose rewrites were made at once.
func narrowed(ctx context.Context, obj Object, res *Result, fr *FuncResult, opt Options, m Meter, bad Step, before *prog.Func) ([]Change, error) {
	t := opt.transform(bad.Transform)
	if t == nil || len(bad.Changes) < 2 {
		return bad.Changes, nil
	}
	than, err := encodeWith(obj, res.Replaced, fr.Index, before)
	if err != nil {
		return nil, err
	}
	// slow measures the function with some of the step's rewrites against that
	// without any; it cannot where these do not go without the others.
	sites := sitesOf(ctx, t, before, bad.Changes)
	slow := func(some []Change) (is, can bool, err error) {
		f, changes := t.Run(ctx, before, func(s int) bool {
			c, ok := sites[s]
			return ok && slices.Contains(some, c)
		})
		if f == nil || !slices.Equal(changes, some) {
			return false, false, nil
		}
		f.Compact()
		o, err := encodeWith(obj, res.Replaced, fr.Index, f)
		if err != nil {
			return false, false, err
		}
		is, err = m.Slower(ctx, fr.Name, than, o)
		return is, err == nil, nil // an error: the kernel does not take it so
	}
	suspects, seen := bad.Changes, true
	for len(suspects) > 1 || !seen {
		half := suspects[:(len(suspects)+1)/2]
		is, can, err := slow(half)
		switch {
		case err != nil:
			return nil, err
		case !can || ctx.Err() != nil:
			return suspects, nil
		case is:
			suspects, seen = half, true
		case len(suspects) == 1:
			return bad.Changes, nil // it is not slow without the others
		default:
			suspects, seen = suspects[len(half):], false
		}
	}
	return suspects, nil
}

// sitesOf finds the sites of a transform that make the given changes, when all of
// them are made.
func sitesOf(ctx context.Context, t Transform, f *prog.Func, want []Change) map[int]Change {
	// A site that is allowed makes one change, in order; those that were refused
	// when the step was made are found out one by one.
	skip := map[int]bool{}
	for range maxAttempts {
		var sites []int
		g, changes := t.Run(ctx, f, func(s int) bool {
			if skip[s] {
				return false
			}
			sites = append(sites, s)
			return true
		})
		if g == nil || len(sites) != len(changes) {
			return nil
		}
		found, extra := map[int]Change{}, false
		for i, c := range changes {
			if slices.Contains(want, c) {
				found[sites[i]] = c
			} else {
				skip[sites[i]], extra = true, true
			}
		}
		if !extra {
			return found
		}
	}
	return nil
}

// transform finds one of the options' transforms by name.
func (o *Options) transform(name string) Transform {
	for _, t := range slices.Concat(o.Transforms, o.Search, o.Last) {
		if t.Name() == name {
			return t
		}
	}
	return nil
}

// redo optimizes a function again from its last step on, without the rewrites of
// a transform that were taken back, of a function in.
func redo(ctx context.Context, obj Object, res *Result, fr *FuncResult, opt Options, transform string, guilty []Change, in *prog.Func) error {
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
	for _, c := range guilty {
		fr.withdrawn[keyIn(in, named(transform), c)] = refusedForever
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
	ctx, end := opt.Budget.start(ctx, len(fr.Input.Insns))
	defer end()
	err := w.improve(ctx)
	fr.Output, fr.Steps = w.cur, w.steps
	if len(fr.Steps) == 0 {
		fr.Output = fr.Input
	}
	return err
}

// named is a transform that is known by name alone.
type named string

func (n named) Name() string { return string(n) }
