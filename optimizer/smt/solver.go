package smt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Result is a solver's answer. The zero value is "don't know".
type Result uint8

// The answers.
const (
	Unknown Result = iota
	Unsat
	Sat
)

func (r Result) String() string { return [...]string{"unknown", "unsat", "sat"}[r] }

// Limits bound one check. Steps are the solver's own units, so that the same
// query gives the same answer on any machine; Wall is only a ceiling.
type Limits struct {
	Steps uint32 // zero: DefaultLimits.Steps
	Wall  time.Duration
}

// DefaultLimits bound a check that names no limits.
var DefaultLimits = Limits{Steps: 2_000_000, Wall: 20 * time.Second}

func (l Limits) orDefault() Limits {
	if l.Steps == 0 {
		l.Steps = DefaultLimits.Steps
	}
	if l.Wall == 0 {
		l.Wall = DefaultLimits.Wall
	}
	return l
}

// Solver decides whether all the given one-bit terms can be true together. It
// is not safe for concurrent use, as its Ctx is not.
type Solver interface {
	backend
	// Stats counts the checks made so far.
	Stats() Stats
}

// backend is what a solver program or library provides.
type backend interface {
	// Check answers Sat with an assignment of all leaves, Unsat, or Unknown. An
	// error means that the solver itself failed; the answer is then Unknown.
	Check(ctx context.Context, l Limits, terms ...Term) (Result, Assignment, error)
	Name() string
	Close() error
}

// Stats counts the checks of a solver by their answer. Errors are counted among
// the unknown as well.
type Stats struct {
	Sat, Unsat, Unknown, Errors int
	Time                        time.Duration
}

// Checks is the number of checks made.
func (s Stats) Checks() int { return s.Sat + s.Unsat + s.Unknown }

// counted keeps the statistics, and makes an error's answer Unknown.
type counted struct {
	backend
	stats Stats
}

func (s *counted) Stats() Stats { return s.stats }

func (s *counted) Check(ctx context.Context, l Limits, terms ...Term) (Result, Assignment, error) {
	start := time.Now()
	r, as, err := s.backend.Check(ctx, l, terms...)
	s.stats.Time += time.Since(start)
	if err != nil {
		s.stats.Errors++
		r, as = Unknown, nil
	}
	switch r {
	case Sat:
		s.stats.Sat++
	case Unsat:
		s.stats.Unsat++
	default:
		s.stats.Unknown++
	}
	return r, as, err
}

// fallback asks each backend in turn until one decides. Taking turns instead of
// racing keeps the answers, and so the models, the same from run to run.
type fallback []backend

func (f fallback) Name() string {
	var names []string
	for _, b := range f {
		names = append(names, b.Name())
	}
	return strings.Join(names, "+")
}

func (f fallback) Check(ctx context.Context, l Limits, terms ...Term) (Result, Assignment, error) {
	var failed error
	for _, b := range f {
		r, as, err := b.Check(ctx, l, terms...)
		if err == nil && r != Unknown {
			return r, as, nil
		}
		failed = errors.Join(failed, err)
	}
	return Unknown, nil, failed
}

func (f fallback) Close() error {
	var failed error
	for _, b := range f {
		failed = errors.Join(failed, b.Close())
	}
	return failed
}

// ErrNoSolver is returned by Open when no backend is there.
var ErrNoSolver = errors.New("no SMT solver: install the package z3")

// open makes backends by name; build tags add to it.
var open = map[string]func(c *Ctx) (backend, error){
	"z3": func(c *Ctx) (backend, error) {
		return newPipe(c, "z3", []string{"-in", "-smt2"}, z3Options)
	},
	"cvc5": func(c *Ctx) (backend, error) {
		return newPipe(c, "cvc5", []string{"--incremental", "--produce-models", "--lang=smt2"}, cvc5Options)
	},
}

// Names lists what Open takes besides "auto" and "portfolio".
func Names() []string { return []string{"go-z3", "z3", "cvc5"} }

// Open starts a solver over c's terms: go-z3, z3, cvc5; auto, which takes the
// first that is there; or portfolio, which asks Z3 and then cvc5.
func Open(c *Ctx, name string) (Solver, error) {
	b, err := openBackend(c, name)
	if err != nil {
		return nil, err
	}
	return &counted{backend: b}, nil
}

func openBackend(c *Ctx, name string) (backend, error) {
	switch name {
	case "", "auto":
		for _, n := range Names() {
			if f := open[n]; f != nil {
				if b, err := f(c); err == nil {
					return b, nil
				}
			}
		}
		return nil, ErrNoSolver
	case "portfolio":
		first, err := openBackend(c, "auto")
		if err != nil {
			return nil, err
		}
		if first.Name() == "cvc5" {
			return first, nil
		}
		second, err := open["cvc5"](c)
		if err != nil {
			return nil, err
		}
		return fallback{first, second}, nil
	}
	f := open[name]
	if f == nil {
		if name == "go-z3" {
			return nil, errors.New("this program was built without go-z3: build it with ./run.sh build, or use --solver z3")
		}
		return nil, fmt.Errorf("unknown solver %q: go-z3, z3, cvc5, portfolio or auto", name)
	}
	return f(c)
}
