package equiv

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// Forget makes Values compute those of the last function again.
func (v *Validator) Forget() { v.last = nil }

// Served counts the visits of the function that was analysed last which came from
// the one before.
func (v *Validator) Served() (served, all int) {
	for _, x := range v.known.byName {
		if x.served {
			served++
		}
		all++
	}
	return served, all
}

// InFull computes the values of f as if no function had been analysed before, with
// the names and terms that there are.
func (v *Validator) InFull(f *prog.Func) (*Values, error) {
	was := v.known
	defer func() { v.known = was }()
	v.known = &visits{e: was.e, slots: was.slots}
	return v.values(context.Background(), f)
}

// Differs tells how values of one function differ, down to the terms; empty if they
// do not.
func (v *Values) Differs(w *Values) string {
	if !slices.Equal(v.Cond, w.Cond) || !slices.Equal(v.Age, w.Age) {
		return "conditions or ages"
	}
	for k := range v.Before {
		if a, b := state(v.Before[k]), state(w.Before[k]); a != b {
			for r := range v.Before[k].Regs {
				if x, y := v.Before[k].Regs[r], w.Before[k].Regs[r]; x != y {
					return fmt.Sprintf("before %d: r%d: %s and %s", k, r, v.C.String(x), v.C.String(y))
				}
			}
			return fmt.Sprintf("before %d: %s\n%s", k, a, b)
		}
	}
	for _, field := range []string{"regions", "shapes", "assume", "maps", "refs"} {
		if a, b := engineField(v.E, field), engineField(w.E, field); a != b {
			return fmt.Sprintf("%s: %s\n%s", field, a, b)
		}
	}
	return ""
}

func state(s *symex.State) string {
	if s == nil {
		return "unreachable"
	}
	return fmt.Sprint(s.Regs, *s.Stack, s.Frame, s.Mem, s.Epoch, s.Effect, s.MapSet, s.Path)
}

func engineField(e *symex.Engine, name string) string {
	return fmt.Sprint(reflect.ValueOf(e).Elem().FieldByName(name))
}

// TestsServe: the tests at hand were not made for f alone, but serve for it.
func (v *Validator) TestsServe(f *prog.Func) bool { return v.tests != nil && v.tests.serves[keyOf(f)] }
