package equiv

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/equiv/environ"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// firstTests is how many environments a body is tried in before any proof: the
// rest wait until windows fail.
const (
	firstTests = 10
	allTests   = 1 << 30
)

// tests holds bodies against one function, in environments that were prepared
// for it once. What may replace a function that may replace another may replace that
// one, too: so these serve for all bodies that were proved since.
type tests struct {
	suite  *environ.Suite
	serves map[verdictKey]bool
	enter  []*prog.Func // whose bodies are run where they are called
}

// testsOf gives the tests of p with some bodies run where they are called, those of
// the last question if they serve.
func (v *Validator) testsOf(p *prog.Func, enter []*prog.Func) *tests {
	k := keyOf(p)
	if t := v.tests; t != nil && t.serves[k] && !slices.ContainsFunc(enter, func(g *prog.Func) bool { return !slices.Contains(t.enter, g) }) {
		return t
	}
	v.tests = &tests{environ.NewSuite(p, v.running(enter)), map[verdictKey]bool{k: true}, enter}
	return v.tests
}

// heir: q may replace p.
func (v *Validator) heir(p, q *prog.Func) {
	if t := v.tests; t != nil && t.serves[keyOf(p)] && len(t.serves) < cacheSize {
		t.serves[keyOf(q)] = true
	}
}

// running says how functions are run in tests.
func (v *Validator) running(enter []*prog.Func) environ.Options {
	return environ.Options{Reads: v.reads, Enter: enter, PlainAtomics: v.opt.AllowAtomics}
}

// reads gives the argument registers that a call to another function may read.
func (v *Validator) reads(in *prog.Insn) (isa.RegSet, bool) {
	if in.Ref != nil && in.Ref.Kind == prog.RefKfunc {
		return in.Use(), true
	}
	if in.Ref == nil || in.Ref.Kind != prog.RefFunc || v.opt.Callee == nil {
		return 0, false
	}
	f := v.opt.Callee(in.Ref.Name)
	if f == nil {
		return 0, false
	}
	return prog.Reads(f), true
}
