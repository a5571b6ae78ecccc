package elf

import (
	"bytes"
	delf "debug/elf"
	"slices"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Calls of two functions that have one name stay apart.
func TestTwins(t *testing.T) {
	raw := bytes.Clone(compile(t, "twins.c", "-mcpu=v3"))
	o := read(t, raw)
	place := func(name string) int {
		k := slices.IndexFunc(o.syms, func(s delf.Symbol) bool { return s.Name == name })
		for _, s := range o.file.Sections {
			if s.Type == delf.SHT_SYMTAB {
				return int(s.Offset) + 24*(k+1)
			}
		}
		return -1
	}
	copy(raw[place("same"):][:4], raw[place("twin"):][:4])
	o = read(t, raw)
	factor := func(o *Object, program string) int64 {
		f := o.list[slices.IndexFunc(o.list, func(f *prog.Func) bool { return f.Name == program })]
		k := slices.IndexFunc(f.Insns, func(in prog.Insn) bool { return in.Row().Kind == isa.KindCallFunc })
		for _, in := range o.rels[f.Insns[k].Ref].target.Insns {
			if row := in.Row(); row.Kind == isa.KindALU && row.Fn == isa.FnMul {
				return int64(in.Imm)
			}
		}
		return 0
	}
	replaced := map[int]*prog.Func{}
	for k, f := range o.Functions() {
		g := f.Clone()
		if err := g.Splice(0, 0, []prog.Insn{prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: 3, Imm: 1})}); err != nil {
			t.Fatal(err)
		}
		replaced[k] = g
	}
	for _, some := range []map[int]*prog.Func{{}, {0: replaced[0]}, replaced} {
		out, err := o.Encode(some)
		if err != nil {
			t.Fatal(err)
		}
		w := read(t, out)
		if a, b := factor(w, "first"), factor(w, "second"); a != 3 || b != 7 {
			t.Errorf("with %d functions replaced the programs call what multiplies by %d and %d, want 3 and 7", len(some), a, b)
		}
	}
	var calls []*prog.Ref
	for _, f := range o.list {
		for k := range f.Insns {
			if r := f.Insns[k].Ref; r != nil && r.Kind == prog.RefFunc {
				calls = append(calls, r)
			}
		}
	}
	if len(calls) != 2 || prog.SameRef(calls[0], calls[1]) {
		t.Errorf("%d calls, or both of one function", len(calls))
	}
}
