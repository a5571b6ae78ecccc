package elf

import (
	"testing"

	"github.com/superbpf/superbpf/optimizer/elf/relax"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// A function with two names is one function, and both names move with it.
func TestAliases(t *testing.T) {
	raw := compile(t, "aliases.c", "-mcpu=v3")
	for range 2 { // the second time as it was written
		spec, err := relax.Program(raw, "both", relax.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defined := map[string]bool{}
		calls := 0
		for k := range spec.Programs["both"].Instructions {
			if s := spec.Programs["both"].Instructions[k].Symbol(); s != "" {
				defined[s] = true
			}
		}
		for k := range spec.Programs["both"].Instructions {
			if in := &spec.Programs["both"].Instructions[k]; in.IsFunctionReference() {
				calls++
				if !defined[in.Reference()] {
					t.Errorf("a call of %s, which is missing", in.Reference())
				}
			}
		}
		if calls != 2 {
			t.Errorf("%d calls, want 2", calls)
		}
		o := read(t, raw)
		replaced := map[int]*prog.Func{}
		for k, f := range o.Functions() {
			g := f.Clone()
			if err := g.Splice(1, 1, []prog.Insn{prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: 3, Imm: 1})}); err != nil {
				t.Fatal(err)
			}
			replaced[k] = g
		}
		if len(replaced) != 2 {
			t.Errorf("%d functions, want 2", len(replaced))
		}
		if raw, err = o.Encode(replaced); err != nil {
			t.Fatal(err)
		}
		w, at := read(t, raw), map[string]uint64{}
		for _, s := range w.syms {
			at[s.Name] = s.Value<<32 | s.Size
		}
		if at["add"] != at["more"] || at["add"]&(1<<32-1) != uint64(8*replaced[0].Slots()) {
			t.Errorf("add is at %#x, more at %#x", at["add"], at["more"])
		}
	}
}
