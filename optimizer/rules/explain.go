package rules

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/slice"
)

// Explain writes the rule, how far it is proved, and an instance as code.
func (r *Rule) Explain(w io.Writer) error {
	how := "proved in general form; each use is proved again"
	if !r.Proved {
		how = "not proved in general form; each use is proved where it is made"
	}
	if _, err := fmt.Fprintf(w, "%s  %s\n  %s\n", r.ID(), r.text, how); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 2000 {
		from, to, ok := r.sample(rnd)
		if !ok {
			continue
		}
		a, b := example(&from), example(&to)
		_, err := fmt.Fprintf(w, "  for instance (inputs in r1, r2, ...; the result in r0)\n    %s\n  becomes\n    %s\n\n",
			strings.Join(a, "\n    "), strings.Join(b, "\n    "))
		return err
	}
	return nil
}

// example is code for a term in a function that needs nothing but its result.
func example(t *slice.Term) []string {
	s := &slice.Site{Term: *t, Dst: isa.R0, Free: isa.CallerSaved, Slots: 64}
	for i := range t.Inputs {
		s.In = append(s.In, isa.R1+isa.Reg(i))
	}
	code := s.Lower(t, 4)
	if code == nil {
		return []string{"(registers do not suffice)"}
	}
	var out []string
	for _, in := range code {
		out = append(out, isa.Format(in, "target"))
	}
	if len(out) == 0 {
		out = []string{"(nothing)"}
	}
	return out
}
