// Package campaign attacks the proof: it damages one place of functions that
// may replace others and requires that whatever the proof still calls Equal
// behaves like the original in every environment tried.
package campaign

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/equiv/environ"
	"github.com/superbpf/superbpf/optimizer/equiv/mutate"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Pair is a function with one that may replace it, which may be itself.
type Pair struct {
	Name string
	P, Q *prog.Func
	// Funcs are functions that P or Q call.
	Funcs []*prog.Func
}

// Callee finds the functions that those of a corpus call.
func Callee(corpus []Pair) func(name string) *prog.Func {
	byName := map[string]*prog.Func{}
	for _, p := range corpus {
		for _, f := range p.Funcs {
			if g := byName[f.Name]; g != nil && !prog.SameCodeRefs(f, g) {
				panic("two functions have the name " + f.Name)
			}
			byName[f.Name] = f
		}
	}
	return func(name string) *prog.Func { return byName[name] }
}

// Cases reads pairs from text cases of package equiv. An empty glob is an error.
func Cases(glob string) ([]Pair, error) {
	files, err := filepath.Glob(glob)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no cases match %s", glob)
	}
	var out []Pair
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		if err != nil {
			return nil, err
		}
		fs := map[string]*prog.Func{}
		var called []*prog.Func
		for _, part := range a.Files {
			name, isFunc := strings.CutPrefix(part.Name, "func ")
			if fs[part.Name], err = prog.ParseFunc(name, string(part.Data)); err != nil {
				return nil, fmt.Errorf("%s: %w", f, err)
			}
			if isFunc {
				called = append(called, fs[part.Name])
			}
		}
		p, q := fs["p"], fs["q"]
		if p == nil || q == nil {
			return nil, fmt.Errorf("%s: needs p and q", f)
		}
		for i := range called {
			called[i] = prog.AdoptRefs(p, called[i])
		}
		out = append(out, Pair{f, p, p, called})
		if strings.Contains(string(a.Comment), "want Equal") {
			out = append(out, Pair{f, p, prog.AdoptRefs(p, q), called})
		}
	}
	return out, nil
}

// Options of a campaign.
type Options struct {
	Mutants int
	Seed    uint64
	// Runs is the number of environments in which a mutant called Equal must
	// behave like its original.
	Runs int
	// Wall bounds one proof.
	Wall time.Duration
	// Progress, if set, is told of each mutant.
	Progress func(done int)
}

// Wrong is a mutant that was called Equal and is not.
type Wrong struct {
	Pair, Kind, Reason, Difference string
	P, Q                           string // text
}

func (w Wrong) String() string {
	return fmt.Sprintf("%s, %s: called Equal (%s) but %s\n-- p --\n%s-- q --\n%s", w.Pair, w.Kind, w.Reason, w.Difference, w.P, w.Q)
}

// Count is what became of the mutants of one kind of damage.
type Count struct {
	Tried, Equal, Different, Unknown, Unsupported int
	// Told: not Equal, and a run shows a difference.
	Told int
}

// Report is a campaign's outcome.
type Report struct {
	Pairs int
	Kinds map[string]*Count
	Wrong []Wrong
	// Compared is the number of runs in which a mutant called Equal was held
	// against its original.
	Compared int
}

// Sum adds up all kinds.
func (r *Report) Sum() Count {
	var s Count
	for _, c := range r.Kinds {
		s.Tried += c.Tried
		s.Equal += c.Equal
		s.Different += c.Different
		s.Unknown += c.Unknown
		s.Unsupported += c.Unsupported
		s.Told += c.Told
	}
	return s
}

// maxSteps bounds a run, in instructions.
const maxSteps = 20_000

// Run damages functions of the corpus and judges them with v. With an error the
// report says how far it came.
func Run(ctx context.Context, v *equiv.Validator, corpus []Pair, o Options) (*Report, error) {
	rep := &Report{Pairs: len(corpus), Kinds: map[string]*Count{}}
	if len(corpus) == 0 {
		return rep, errors.New("no functions to damage")
	}
	r := rand.New(rand.NewPCG(o.Seed, 0))
	for tried := 0; tried < o.Mutants; {
		if err := ctx.Err(); err != nil {
			return rep, err
		}
		pair := corpus[r.IntN(len(corpus))]
		q := pair.Q.Clone()
		kind := mutate.Damage(r, q)
		if kind == "" || prog.Check(q) != nil || prog.SameCode(pair.Q, q) {
			continue
		}
		tried++
		if o.Progress != nil {
			o.Progress(tried)
		}
		c := rep.Kinds[kind]
		if c == nil {
			c = new(Count)
			rep.Kinds[kind] = c
		}
		c.Tried++
		once, cancel := context.WithTimeout(ctx, o.Wall)
		res := v.Func(once, pair.P, q)
		cancel()
		diff, runs := differ(pair, q, o)
		switch res.Verdict {
		case equiv.Equal:
			c.Equal++
			rep.Compared += runs
			if diff != "" {
				rep.Wrong = append(rep.Wrong, Wrong{pair.Name, kind, res.Reason, diff, Text(pair.P), Text(q)})
			}
			continue
		case equiv.Different:
			c.Different++
		case equiv.Unsupported:
			c.Unsupported++
		default:
			c.Unknown++
		}
		if diff != "" {
			c.Told++
		}
	}
	return rep, nil
}

// differ runs both functions in made-up environments until they differ.
func differ(pair Pair, q *prog.Func, o Options) (diff string, runs int) {
	var m environ.Machine
	p := pair.P
	pp, qq := environ.Prepare(p, environ.Options{Enter: pair.Funcs}), environ.Prepare(q, environ.Options{Enter: pair.Funcs})
	for k := range o.Runs {
		w := environ.NewWorld(o.Seed+uint64(k)*1000, p)
		a, err := m.Run(pp, w, maxSteps, true)
		if err != nil {
			continue
		}
		runs++
		b, err := m.Run(qq, w, 2*maxSteps, false)
		if errors.Is(err, environ.ErrSteps) {
			return "does not end", runs
		}
		if err != nil {
			continue
		}
		if d := a.Differs(b, equiv.ResultWidth(p)); d != "" {
			return d, runs
		}
	}
	return "", runs
}

// Text renders a function as test cases hold it, as far as that goes.
func Text(f *prog.Func) string {
	var s strings.Builder
	target := map[int]bool{}
	for k := range f.Insns {
		target[f.Insns[k].Target] = true
	}
	for k := range f.Insns {
		in := &f.Insns[k]
		if target[k] {
			fmt.Fprintf(&s, "l%d:\n", k)
		}
		s.WriteString(isa.Format(in.Insn, fmt.Sprintf("l%d", in.Target)))
		if in.Ref != nil {
			fmt.Fprintf(&s, " # %s", in.Ref.Name)
		}
		s.WriteByte('\n')
	}
	return s.String()
}
