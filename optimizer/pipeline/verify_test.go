package pipeline

import (
	"context"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
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

// linked proves the second body of three and nothing across.
type linked struct{ bodies []*prog.Func }

func (l linked) Prove(_ context.Context, f, g *prog.Func) Proof {
	for k := range l.bodies[1:] {
		if prog.SameCodeRefs(f, l.bodies[k]) && prog.SameCodeRefs(g, l.bodies[k+1]) {
			return Proof{Equal: true, Verdict: "Equal"}
		}
	}
	return Proof{Verdict: "Unknown"}
}

// A symbolic operand that the input has twice names one thing: a chain ends at the
// output whichever of the two it took.
func TestChainWithOperandsOfOneName(t *testing.T) {
	field := func(name string) prog.Insn {
		in := prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true)})
		in.Ref = &prog.Ref{Kind: prog.RefCORE, Name: name}
		return in
	}
	body := func(insns ...prog.Insn) *prog.Func {
		return &prog.Func{Name: "f", Insns: append(insns, prog.New(isa.Insn{Op: isa.Exit}))}
	}
	f := body(field("x"), field("x"), field("y"))
	middle, last := body(f.Insns[1], f.Insns[2]), body(f.Insns[1])
	bodies := []*prog.Func{f, middle, last}
	_, at := refs(f, nil)
	var links []Link
	for _, b := range bodies[1:] {
		e, err := encodeBody(b, at)
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, Link{Body: e})
	}
	cert := &Certificate{Functions: []FunctionCertificate{{Name: "f", Links: links}}}
	for name, want := range map[string]string{"x": "Equal", "y": "Unknown"} {
		v, _, err := VerifyPair(context.Background(), []*prog.Func{f}, []*prog.Func{body(field(name))}, cert, linked{bodies})
		if err != nil || v[0].Proof.Verdict != want {
			t.Errorf("output with %s: %+v (%v), want %s", name, v[0].Proof, err, want)
		}
	}
}
