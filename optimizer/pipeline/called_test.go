package pipeline

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// callingObject is an object whose first function is a program that contains all.
type callingObject struct{ listingObject }

func (o callingObject) Users(int) []string { return []string{o.fs[0].Name} }

// parseObject reads functions from text, each after a line "func NAME"; calls of one
// share their reference.
func parseObject(t *testing.T, text string) callingObject {
	t.Helper()
	var o callingObject
	refs := map[string]*prog.Ref{}
	for _, part := range strings.Split(text, "\nfunc ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		f, err := prog.ParseFunc(name, body)
		if err != nil {
			t.Fatal(err)
		}
		for k := range f.Insns {
			if r := f.Insns[k].Ref; r != nil && r.Kind == prog.RefFunc {
				if refs[r.Name] == nil {
					refs[r.Name] = r
				}
				f.Insns[k].Ref = refs[r.Name]
			}
		}
		o.fs = append(o.fs, f)
	}
	return o
}

// expand puts the straight-line bodies of called functions in the place of calls.
type expand struct{ funcs []*prog.Func }

func (expand) Name() string { return "expand" }

func (e expand) Run(_ context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []Change) {
	g, site := f.Clone(), 0
	var cs []Change
	for k := len(f.Insns) - 1; k >= 0; k-- {
		for _, callee := range e.funcs {
			in := &f.Insns[k]
			if in.Row().Kind != isa.KindCallFunc || in.Ref.Name != callee.Name {
				continue
			}
			if allow(site) {
				cs = append(cs, Change{k, callee.Name})
				if err := g.Splice(k, k+1, slices.Clone(callee.Insns[:len(callee.Insns)-1])); err != nil {
					return nil, nil
				}
			}
			site++
		}
	}
	return g, cs
}

const once = `
func main
r1 = 1
call func five
exit
func five
subprogram 1
map m array 4 4 1
r0 = map m ll
r0 = 4
r0 += r1
exit
`

// The only call of a function makes it go; of two calls each body takes its slots.
func TestSlotsOfWhatIsCalled(t *testing.T) {
	twice := strings.Replace(once, "call func five\n", "call func five\nr1 = 2\ncall func five\n", 1)
	for _, c := range []struct {
		text     string
		uncalled bool
	}{{once, true}, {twice, false}} {
		o := parseObject(t, c.text)
		res, err := Optimize(context.Background(), o, Options{Objective: cost.Size,
			Transforms: []Transform{expand{o.fs}}, Prover: wants{}, Gates: []Gate{needs{"exit"}}})
		if err != nil {
			t.Fatal(err)
		}
		main, five := &res.Functions[0], &res.Functions[1]
		if five.Uncalled != c.uncalled || (five.After.Slots == 0) != c.uncalled || (len(main.Steps) > 0) != c.uncalled {
			t.Errorf("%d steps, %d + %d slots: want the function gone: %v\n%s", len(main.Steps), main.After.Slots, five.After.Slots, c.uncalled, c.text)
		}
		before := o.fs[0].Slots() + o.fs[1].Slots()
		after := main.Output.Slots()
		if !c.uncalled {
			after = before
		}
		if b, a := res.LoadedSlots(); b != before || a != after {
			t.Errorf("%d -> %d slots are loaded, want %d -> %d", b, a, before, after)
		}
		if !c.uncalled {
			continue
		}
		// What only the function named has a place in the certificate.
		in, _ := o.Encode(nil)
		cert, err := NewCertificate(in, res, "none", false)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(cert)
		if cert, err = ParseCertificate(b, in, res.Output); err != nil {
			t.Fatal(err)
		}
		links := cert.Functions[0].Links
		got, err := links[len(links)-1].Decode(o.fs[0], o.fs)
		if err != nil || !prog.SameCode(got, main.Output) {
			t.Errorf("the certificate ends at %v, %v", got, err)
		}
		if _, err := links[len(links)-1].Decode(o.fs[0], nil); err == nil {
			t.Error("a link names what is not there, and was read")
		}
	}
}

// Callers come before what they call.
func TestTopDown(t *testing.T) {
	o := parseObject(t, `
func p
call func t
r0 = 0
exit
func q
call func s
call func u
exit
func s
call func u
exit
func t
call func s
exit
func u
r0 = 1
exit
`)
	for k := range o.fs {
		o.fs[k].Entry = k == 0
	}
	d := newDriver(o, Options{})
	order := d.topDown()
	for i, f := range o.fs {
		for _, j := range d.graph.targets(f) {
			if slices.Index(order, i) > slices.Index(order, j) {
				t.Errorf("%s comes after %s, which it calls: %v", f.Name, o.fs[j].Name, order)
			}
		}
	}
	if order[0] != 0 {
		t.Errorf("the program is not first: %v", order)
	}
	if l := d.loaded(); l[1] || !l[0] || !l[2] || !l[3] || !l[4] {
		t.Errorf("loaded: %v", l)
	}
}
