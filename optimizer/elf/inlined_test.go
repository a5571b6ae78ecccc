package elf

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// inlineAll puts the bodies of static functions without a use of saved registers or a
// frame of their own beside the caller's in the place of the calls in f.
func inlineAll(t *testing.T, o *Object, f *prog.Func) *prog.Func {
	g := f.Clone()
	for k := len(g.Insns) - 1; k >= 0; k-- {
		in := g.Insns[k]
		if in.Row().Kind != isa.KindCallFunc {
			continue
		}
		callee := o.Callee(in.Ref.Name)
		first := g.AddInlined(in.Origin, callee, nil)
		var body []prog.Insn
		for i, x := range callee.Insns {
			x.Origin = first + i
			switch {
			case x.Target == len(callee.Insns)-1:
				x.Target = k + 1
			case x.Target >= 0:
				x.Target = -2 - x.Target
			case x.Row().Kind == isa.KindExit && i == len(callee.Insns)-1:
				continue
			case x.Row().Kind == isa.KindExit:
				x.Insn, x.Target = isa.Insn{Op: isa.Ja}, k+1
			}
			body = append(body, x)
		}
		if err := g.Splice(k, k+1, body); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// What came from another function keeps its relocations, CO-RE records and source
// lines in the section where it is now.
func TestInlinedCodeKeepsItsRecords(t *testing.T) {
	for _, cpu := range []string{"v1", "v3", "v4"} {
		raw := compile(t, "inlined.c", "-g", "-mcpu="+cpu)
		o := read(t, raw)
		at := slices.IndexFunc(o.list, func(f *prog.Func) bool { return f.Name == "prog" })
		g := inlineAll(t, o, o.list[at])
		out, err := o.Encode(map[int]*prog.Func{at: g})
		if err != nil {
			t.Fatal(err)
		}
		o2 := read(t, out)
		if f := o2.list[at]; !prog.SameCodeRefs(f, g) {
			t.Fatalf("%s: reads back differently", cpu)
		}
		kinds := map[prog.RefKind]int{}
		for k := range g.Insns {
			if r := g.Insns[k].Ref; r != nil {
				kinds[r.Kind]++
			}
		}
		if kinds[prog.RefCORE] == 0 || kinds[prog.RefFunc] == 0 {
			t.Fatalf("%s: no CO-RE record, or no call: %v", cpu, kinds)
		}
		count := o.funcs[slices.IndexFunc(o.list, func(f *prog.Func) bool { return f.Name == "count" })]
		for _, want := range count.lines {
			if !slices.ContainsFunc(o2.funcs[at].lines, func(r []byte) bool { return sameLine(want, r) }) {
				t.Errorf("%s: a line of the body is lost", cpu)
			}
		}
		if _, err := exec.LookPath("bpftool"); err != nil || os.Geteuid() != 0 {
			continue
		}
		if got, msg := libbpf(t, out); len(got) != 1 {
			t.Errorf("%s: libbpf loads %v: %s", cpu, got, msg)
		}
	}
}
