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
// for it once.
type tests struct {
	p     *prog.Func
	suite *environ.Suite
}

// testsOf gives the tests of p, those of the last question if it was about the
// same function.
func (v *Validator) testsOf(p *prog.Func) *tests {
	if t := v.tests; t != nil && sameFunction(t.p, p) {
		return t
	}
	v.tests = &tests{p.Clone(), environ.NewSuite(p, v.running())}
	return v.tests
}

// sameFunction: the same code under the same contract.
func sameFunction(f, g *prog.Func) bool {
	return prog.SameCode(f, g) && f.NumArgs == g.NumArgs && f.Args == g.Args && f.Type == g.Type && f.Entry == g.Entry && f.Global == g.Global
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
