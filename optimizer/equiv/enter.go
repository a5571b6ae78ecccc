package equiv

import (
	"slices"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// Where the two functions differ in whether they call a third one, its body says
// what the call does: it is run in the place of the call, in both. Bodies have no
// loops and no cuts of their own, and what they call stays a call.

// entered lists the functions that q calls less often than p, and whose bodies may
// stand for calls of them, by name.
func (v *Validator) entered(p, q *prog.Func) []*prog.Func {
	if v.opt.Callee == nil {
		return nil
	}
	var out []*prog.Func
	inP, inQ := prog.CallsOf(p), prog.CallsOf(q)
	for name, n := range inP {
		if g := v.opt.Callee(name); inQ[name] < n && g != nil && name != p.Name && prog.Enterable(g) == nil {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b *prog.Func) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Callee finds the function that calls of that name go to; nil if it is not known.
func (v *Validator) Callee(name string) *prog.Func {
	if v.opt.Callee == nil {
		return nil
	}
	return v.opt.Callee(name)
}

// body is the code of a function that is entered, behind that of the function that
// calls it.
type body struct {
	from int // where it begins in side.code
	s    *side
}

// enterBodies makes both sides run the bodies of functions in the place of calls.
func (s *sim) enterBodies(bodies []*prog.Func) {
	for _, g := range bodies {
		if !s.e.MayEnter(g.SeesContext(0, s.v.opt.Callee)) {
			continue
		}
		for _, x := range []*side{s.p, s.q} {
			x.bodies = append(x.bodies, body{len(x.code), newSide(g)})
			n := len(x.code)
			x.code = slices.Concat(x.code, g.Insns)
			for k := n; k < len(x.code); k++ {
				if x.code[k].Target >= 0 {
					x.code[k].Target += n
				}
			}
			x.stop = append(x.stop, make([]bool, len(g.Insns))...)
		}
	}
}

// inside: instruction k of code is one of a body.
func (s *side) inside(k int) bool { return k >= len(s.f.Insns) }

// bodyAt is the body that the call at k goes to, -1 if it stays a call.
func (s *side) bodyAt(k int) int {
	if in := &s.code[k]; !s.inside(k) && in.Row().Kind == isa.KindCallFunc && in.Ref != nil && in.Ref.Kind == prog.RefFunc {
		for _, b := range s.bodies {
			if b.s.f.Name == in.Ref.Name {
				return b.from
			}
		}
	}
	return -1
}

// unused: instruction k is a call whose result nobody reads.
func (s *side) unused(k int) bool {
	for i := len(s.bodies) - 1; i >= 0; i-- {
		if b := s.bodies[i]; k >= b.from {
			return b.s.unused(k - b.from)
		}
	}
	return s.f.Insns[k].IsCall() && !s.live.After[k].Has(isa.R0)
}

// across executes the calls that lead into a body, and out of one again, and
// gives where it goes on; -1 for any other instruction. from is what the body
// keeps of its caller.
func (s *sim) across(x *side, at int, st *symex.State, from *symex.Caller) int {
	if len(x.bodies) == 0 {
		return -1
	}
	if to := x.bodyAt(at); to >= 0 {
		*from = s.e.Enter(st, at+1)
		return to
	}
	if !x.inside(at) || x.code[at].Row().Kind != isa.KindExit {
		return -1
	}
	to := from.At
	s.e.Leave(st, *from)
	*from = symex.Caller{}
	return to
}
