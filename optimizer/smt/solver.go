package smt

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
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
var DefaultLimits = Limits{Steps: 2_000_000, Wall: 2 * time.Second}

func (l Limits) orDefault() Limits {
	if l.Steps == 0 {
		l.Steps = DefaultLimits.Steps
	}
	if l.Wall == 0 {
		l.Wall = DefaultLimits.Wall
	}
	return l
}

// Solver decides whether all the given one-bit terms can be true together.
type Solver interface {
	// Check answers Sat with an assignment of all leaves, Unsat, or Unknown. An
	// error means that the solver itself failed; the answer is then Unknown.
	Check(ctx context.Context, l Limits, terms ...Term) (Result, Assignment, error)
	Name() string
	Close() error
}

// ErrNoSolver is returned by Open when no backend is there.
var ErrNoSolver = errors.New("no SMT solver: install the package z3")

// open makes backends by name; build tags add to it.
var open = map[string]func(c *Ctx) (Solver, error){
	"z3": func(c *Ctx) (Solver, error) {
		return newPipe(c, "z3", []string{"-in", "-smt2"}, z3Options)
	},
	"cvc5": func(c *Ctx) (Solver, error) {
		return newPipe(c, "cvc5", []string{"--incremental", "--produce-models", "--lang=smt2"}, cvc5Options)
	},
}

// Names lists what Open takes besides "auto".
func Names() []string { return []string{"go-z3", "z3", "cvc5"} }

// Open starts a solver over c's terms: go-z3, z3, cvc5, or auto, which takes
// the first that is there.
func Open(c *Ctx, name string) (Solver, error) {
	if name == "" || name == "auto" {
		if f := open["go-z3"]; f != nil {
			return f(c)
		}
		for _, n := range []string{"z3", "cvc5"} {
			if _, err := exec.LookPath(n); err == nil {
				return open[n](c)
			}
		}
		return nil, ErrNoSolver
	}
	f := open[name]
	if f == nil {
		if name == "go-z3" {
			return nil, errors.New("this program was built without go-z3: build it with ./run.sh build, or use --solver z3")
		}
		return nil, fmt.Errorf("unknown solver %q: go-z3, z3, cvc5 or auto", name)
	}
	return f(c)
}
