package main

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/superbpf/superbpf/optimizer/steps"
)

// Ceilings of wall-clock time when the user names none: well above what the steps
// take, so that these end the search also on a busy machine.
const (
	ceiling      = 2 * time.Minute
	totalCeiling = 20 * time.Minute
)

// maxSteps bounds the steps that a user may name, in millions: years.
const maxSteps = 1e12

// budgetFlags are the bounds of a search.
func (s *settings) budgetFlags(f *pflag.FlagSet) {
	f.Float64Var(&s.steps, "steps", 0, "millions of steps for each function, a few of them take a second (default: by -O and size); the same input, options, seed and steps give the same bytes")
	f.DurationVar(&s.budget, "budget", ceiling, "wall-clock ceiling for each function, whatever steps are left")
	f.DurationVar(&s.total, "total-budget", totalCeiling, "wall-clock ceiling for the whole object; functions share what is left of it by size")
}

// effort is the budget of an effort. A second of it is what a core of a few GHz
// does in about a second.
type effort struct {
	// seconds is what a function of up to 500 instructions gets, most what a large one
	// may get, total what all functions of an object share.
	seconds, most, total int64
}

// efforts are the budgets by -O.
var efforts = [...]effort{
	1: {1, 30, 60},
	2: {10, 60, 180},
	3: {60, 300, 600},
}

// stepsOf is the budget of a function of that many instructions, in steps.
func (s *settings) stepsOf(insns int) int64 {
	if s.steps > 0 {
		return int64(s.steps * 1e6)
	}
	extra := int64(s.extra.Seconds() * steps.PerSecond)
	if s.budget != ceiling {
		return int64(s.budget.Seconds()*steps.PerSecond) + extra
	}
	e := efforts[s.level]
	if extra > 0 {
		e = efforts[2]
	}
	own := min(max(e.seconds*steps.PerSecond, int64(insns)*e.seconds*steps.PerSecond/500), e.most*steps.PerSecond)
	return own + extra
}

// totalSteps is the budget of an object, in steps: none where the user gave
// functions theirs.
func (s *settings) totalSteps(int) int64 {
	switch {
	case s.total != totalCeiling:
		return int64(s.total.Seconds() * steps.PerSecond)
	case s.steps > 0 || s.budget != ceiling:
		return 0
	}
	return efforts[s.level].total * steps.PerSecond
}
