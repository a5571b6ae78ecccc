package prog

import "testing"

// Bodies that see who calls them do not take the place of a call.
func TestEnterable(t *testing.T) {
	for _, c := range []struct {
		kind RefKind
		name string
		may  bool
	}{
		{RefKfunc, "bpf_rdonly_cast", true},
		{RefKfunc, "bpf_throw", false},
		{RefKfunc, "bpf_stream_print_stack", false},
		{RefFunc, "other", true},
		{RefFunc, "own", false},
	} {
		code := "call func " + c.name
		if c.kind == RefKfunc {
			code = "call kfunc 1 + 0"
		}
		g, err := ParseFunc("own", "subprogram 1\n"+code+"\nr0 = 2\nexit\n")
		if err != nil {
			t.Fatal(err)
		}
		g.Insns[0].Ref = &Ref{Kind: c.kind, Name: c.name}
		if err := Enterable(g); (err == nil) != c.may {
			t.Errorf("with a call of %s: %v", c.name, err)
		}
	}
}
