package equiv

import (
	"context"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// Values is what is known of a function at each program point: a term for
// every register and stack byte. Equal terms are equal values, across blocks
// and loops, by the same reasoning as a proof.
type Values struct {
	C *smt.Ctx
	E *symex.Engine
	// Before is the state before each instruction, nil where control cannot
	// come. Path holds the branch conditions known to be true.
	Before []*symex.State
	// Cond is the condition of each conditional jump that was reached.
	Cond []smt.Term
	// Age orders definitions along the way to an instruction: for each
	// register, how recently it was written (larger is later).
	Age [][isa.NumRegs]int

	once    map[string]bool // see comesOnce
	lasting map[smt.Term]bool
}

// Values analyses f. What it gives stays valid until the validator is asked for
// the values of another function or for a proof, and is the same for the same
// code.
func (v *Validator) Values(ctx context.Context, f *prog.Func) (*Values, error) {
	if l := v.last; l != nil && prog.SameCode(l.f, f) && l.f.NumArgs == f.NumArgs && l.f.Args == f.Args && l.f.Type == f.Type && l.f.Entry == f.Entry && v.c.Len() <= l.room {
		e := l.values.E // as it was before proofs from these values
		e.Align, e.OnToken, e.Plain = nil, nil, nil
		e.Replacing(false)
		e.Restart()
		return l.values, nil
	}
	if v.c.Len() > maxTerms {
		if err := v.reset(); err != nil {
			return nil, err
		}
	}
	v.last = nil
	out, err := v.values(ctx, f)
	if err == nil {
		v.last = &analysed{f.Clone(), out, v.c.Len() + maxTerms}
	}
	return out, err
}

// analysed is a function with its values, which serve until the context has
// grown to room.
type analysed struct {
	f      *prog.Func
	values *Values
	room   int
}

func (v *Validator) values(ctx context.Context, f *prog.Func) (*Values, error) {
	s := newSim(ctx, v, f, f, everyJoin)
	s.known = v.known.serving(s)
	s.visits = map[int]*visit{}
	if err := s.run(); err != nil {
		return nil, err
	}
	out := &Values{C: v.c, E: s.e, Before: make([]*symex.State, len(f.Insns)), Cond: make([]smt.Term, len(f.Insns)), Age: make([][isa.NumRegs]int, len(f.Insns)),
		once: s.comesOnce(), lasting: map[smt.Term]bool{}}
	s.e.Align, s.e.OnToken = nil, nil
	for _, k := range s.order {
		for _, p := range s.visits[k.at].points {
			out.Before[p.at], out.Cond[p.at] = p.st, p.cond
		}
	}
	for _, k := range s.order {
		s.ages(out, k.at)
	}
	v.known = s.remember()
	return out, nil
}

// ages fills in Age in the tree of blocks below a cut.
func (s *sim) ages(out *Values, from int) {
	type todo struct {
		at  int
		age [isa.NumRegs]int
	}
	work := []todo{{at: from}}
	for len(work) > 0 {
		w := work[len(work)-1]
		work = work[:len(work)-1]
		for first := true; first || !s.p.stop[w.at] && out.Before[w.at] != nil; first = false {
			k := w.at
			in := &s.p.f.Insns[k]
			out.Age[k] = w.age
			for r := isa.R0; r < isa.FP; r++ {
				if in.Def().Has(r) {
					w.age[r] = k + 1
				}
			}
			if in.Target >= 0 && !s.p.stop[in.Target] && out.Before[in.Target] != nil {
				work = append(work, todo{in.Target, w.age})
			}
			if in.EndsBlock() {
				break
			}
			w.at++
		}
	}
}

// Decided tells whether the conditional jump at k always goes one way.
func (v *Values) Decided(k int) (taken, known bool) {
	c, st := v.Cond[k], v.Before[k]
	if c == 0 || st == nil {
		return false, false
	}
	if x, ok := v.C.IsConst(c); ok {
		return x == 1, true
	}
	not := v.C.Not(c)
	for _, f := range st.Path {
		if f == c {
			return true, true
		}
		if f == not {
			return false, true
		}
	}
	return false, false
}

// After executes instruction in on a copy of the state before k.
func (v *Values) After(k int, in *prog.Insn) (*symex.State, error) {
	st := v.Before[k].Clone()
	_, err := v.E.Step(st, in)
	return st, err
}
