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
	// Note says how they compare, in a line.
	Note string
}

// Meter measures candidate objects by running one of their programs. The first
// is the input; the others come in order of preference.
type Meter interface {
	Race(ctx context.Context, program string, objects [][]byte) (Ranking, error)
}

// Select lets measurement decide between the final form of each program, the
// forms on the way to it, and the input: a candidate that measures slower
// loses. It changes res. Programs that cannot be measured keep their final
// form.
func Select(ctx context.Context, obj Object, res *Result, m Meter) error {
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
		if n := steps[r.Best]; n != len(fr.Steps) {
			fr.keep(res, n)
		}
	}
	return res.encode(obj)
}

// Withdraw takes back the last third of the steps of a program that was found
// to be slower, at least one; false when there is none left. It changes res.
func Withdraw(obj Object, res *Result, program string) (bool, error) {
	for k := range res.Functions {
		fr := &res.Functions[k]
		if !fr.Entry || fr.Name != program || len(fr.Steps) == 0 {
			continue
		}
		fr.keep(res, len(fr.Steps)*2/3)
		return true, res.encode(obj)
	}
	return false, nil
}

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
