package equiv

import (
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
}

// testsOf gives the tests of p, those of the last question if they serve for it.
func (v *Validator) testsOf(p *prog.Func) *tests {
	k := keyOf(p)
	if v.tests == nil || !v.tests.serves[k] {
		v.tests = &tests{environ.NewSuite(p, v.running()), map[verdictKey]bool{k: true}}
	}
	return v.tests
}

// heir: q may replace p.
func (v *Validator) heir(p, q *prog.Func) {
	if t := v.tests; t != nil && t.serves[keyOf(p)] && len(t.serves) < cacheSize {
		t.serves[keyOf(q)] = true
	}
}

// running says how functions are run in tests.
func (v *Validator) running() environ.Options {
	return environ.Options{Reads: v.reads, PlainAtomics: v.opt.AllowAtomics}
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
