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
	if err := s.run(); err != nil {
		return nil, err
	}
	out := &Values{C: v.c, E: s.e, Before: make([]*symex.State, len(f.Insns)), Cond: make([]smt.Term, len(f.Insns)), Age: make([][isa.NumRegs]int, len(f.Insns))}
	s.e.Align, s.e.OnToken = nil, nil
	for _, k := range s.order {
		if ctx.Err() != nil {
			return nil, giveUp("out of time")
		}
		st, _ := s.enter(k)
		if err := s.record(out, k.at, st); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// record walks the tree of blocks below a cut.
func (s *sim) record(out *Values, from int, st *symex.State) error {
	type todo struct {
		at  int
		st  *symex.State
		age [isa.NumRegs]int
	}
	work := []todo{{at: from, st: st}}
	for len(work) > 0 {
		w := work[len(work)-1]
		work = work[:len(work)-1]
		for first := true; first && w.at == from || !s.p.stop[w.at]; first = false {
			s.v.spend(s.ctx, stepInsn)
			k := w.at
			in := &s.p.f.Insns[k]
			out.Before[k], out.Age[k] = w.st.Clone(), w.age
			cond, err := s.step(s.p, k, w.st)
			if err != nil {
				return err
			}
			for r := isa.R0; r < isa.FP; r++ {
				if in.Def().Has(r) {
					w.age[r] = k + 1
				}
			}
			out.Cond[k] = cond
			if in.Row().Kind == isa.KindExit {
				break
			}
			d := no
			switch {
			case cond != 0:
				d = s.decide(cond, w.st.Path)
			case in.Target >= 0:
				d = yes
			}
			if d == maybe {
				other := todo{in.Target, w.st.Clone(), w.age}
				other.st.Path = append(other.st.Path, cond)
				if !s.p.stop[other.at] {
					work = append(work, other)
				}
				w.st.Path = append(w.st.Path, s.c.Not(cond))
			}
			if w.at++; d == yes {
				w.at = in.Target
			}
		}
	}
	return nil
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
