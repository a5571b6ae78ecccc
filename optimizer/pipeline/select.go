package pipeline

import (
	"context"
	"fmt"
	"maps"

	"github.com/superbpf/superbpf/optimizer/cost"
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
	// Measured has a measurement for each object; it may be shorter.
	Measured []Measurement
}

// Measurement is how much longer a candidate takes than the input, in ns a run
// (shorter, if negative), with its standard error.
type Measurement struct {
	Change, Error float64
	OK            bool // there was one
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

// learnPrices refines the model by how the final form of a function compares with
// the input.
func learnPrices(fr *FuncResult, steps []int, r Ranking, opt Options) error {
	if opt.Model == nil || len(r.Measured) < 2 || !r.Measured[1].OK {
		return nil
	}
	var before, after []float64
	final := fr.Steps[steps[1]-1].After
	if opt.Weights != nil {
		if before = opt.Weights(fr.Input); before != nil {
			after = cost.Carry(before, final)
		}
	}
	return opt.Model.Refine(opt.Model.Shares(fr.Input, before), opt.Model.Shares(final, after), r.Measured[1].Change, r.Measured[1].Error)
}

// Select lets measurement decide between the final form of each program, the
// forms on the way to it, and the input. If the final form is slower than the
// input, the rewrite that made it so is withdrawn; otherwise a form on the way
// that is faster, each time they are compared, takes its place. It changes res.
// Programs that cannot be measured keep their final form. opt are the options that
// res was made with; the prices of its model are refined by what was measured, so
// that whatever is searched for afterwards is priced by them.
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
		if err := learnPrices(fr, steps, r, opt); err != nil {
			return err
		}
		if r.Slower {
			if err := withdrawAll(ctx, obj, res, fr, opt, m); err != nil {
				return err
			}
			continue
		}
		if n := steps[r.Best]; n != len(fr.Steps) {
			// The best of several is so by chance now and then: ask again.
			slower, err := m.Slower(ctx, fr.Name, objects[r.Best], objects[1])
			if err != nil {
				return err
			}
			if slower {
				fr.keep(res, n)
			}
		}
	}
	return res.encode(obj)
}

// keep leaves the first n steps of a function.
func (fr *FuncResult) keep(res *Result, n int) {
	fr.Measured += fmt.Sprintf("; %d of %d steps withdrawn", len(fr.Steps)-n, len(fr.Steps))
	fr.Steps = fr.Steps[:n]
	fr.Output = fr.Input
	delete(res.Replaced, fr.Index)
	if n > 0 {
		fr.Output = fr.Steps[n-1].After
		res.Replaced[fr.Index] = fr.Output
	}
}

func (res *Result) encode(obj Object) (err error) {
	res.countLoaded(obj)
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
