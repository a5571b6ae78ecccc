package pipeline

import (
	"context"
	"testing"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// strict proves whatever knows that R1 is 1..1, and functions with the same code.
type strict struct{}

func (strict) Prove(_ context.Context, f, g *prog.Func) Proof {
	if k, ok := f.Args[0].Const(); ok && k == 1 {
		return Proof{Equal: true, Verdict: "Equal"}
	}
	return Proof{Verdict: "Unknown"}
}

// What the first object's calls hand over may be used where the callers of the
// second are proved to do the same, and nowhere else.
func TestArgumentsOfCallersThatDiffer(t *testing.T) {
	parse := func(name, text string) *prog.Func {
		f, err := prog.ParseFunc(name, text)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	main := parse("main", "r0 = 0\nexit")
	for _, c := range []struct{ theirs, caller, want string }{
		{"1..1", "r0 = 0\nexit", "Equal"},
		{"1..2", "r0 = 0\nexit", "Equal"},
		{"1..1", "r0 = 1\nexit", "Equal"},
		{"1..2", "r0 = 1\nexit", "Unknown"},
	} {
		a := []*prog.Func{main, parse("inner", "subprogram 1 1..1\nr0 = r1\nexit")}
		b := []*prog.Func{parse("main", c.caller), parse("inner", "subprogram 1 "+c.theirs+"\nr0 = 1\nexit")}
		v, _, err := VerifyPair(context.Background(), a, b, nil, strict{})
		if err != nil || v[1].Proof.Verdict != c.want {
			t.Errorf("theirs is %s, caller %q: %+v (%v), want %s", c.theirs, c.caller, v[1].Proof, err, c.want)
		}
	}
}
