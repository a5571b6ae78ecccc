package elf

import (
	"bytes"
	delf "debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/superbpf/superbpf/optimizer/elf/relax"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// linked is an object with code that no symbol covers.
func linked(t *testing.T) []byte {
	raw := bytes.Clone(compile(t, "linked.c", "-g", "-mcpu=v3"))
	o := read(t, raw)
	lost := 0
	for _, s := range o.file.Sections {
		if s.Type != delf.SHT_SYMTAB {
			continue
		}
		for k, sym := range o.syms {
			if at := int(s.Offset) + 24*(k+1); strings.HasPrefix(sym.Name, "lost_") {
				raw[at+4] = byte(delf.STT_NOTYPE)
				binary.LittleEndian.PutUint16(raw[at+6:], uint16(delf.SHN_ABS))
				lost++
			}
		}
	}
	if lost != 3 {
		t.Fatalf("%d functions are lost, want 3", lost)
	}
	return raw
}

// named checks that each function has its own function info, and a line.
func named(t *testing.T, what string, spec *ebpf.CollectionSpec) {
	t.Helper()
	if len(spec.Programs) != 2 {
		t.Errorf("%s: %d programs, want 2", what, len(spec.Programs))
	}
	for name, p := range spec.Programs {
		functions := 0
		for k := range p.Instructions {
			in := &p.Instructions[k]
			if in.Symbol() == "" {
				continue
			}
			functions++
			if f := btf.FuncMetadata(in); f == nil || f.Name != in.Symbol() {
				t.Errorf("%s: %s: function %s has the info of %v", what, name, in.Symbol(), f)
			}
			if in.Source() == nil {
				t.Errorf("%s: %s: function %s has no line", what, name, in.Symbol())
			}
		}
		if functions == 0 {
			t.Errorf("%s: %s has no functions", what, name)
		}
	}
}

// What static linking leaves between functions does not disturb their function and
// line info, and is left out of what is written.
func TestLostFunctions(t *testing.T) {
	raw := linked(t)
	spec, bad, err := relax.Collection(raw, relax.Options{})
	if err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	named(t, "read", spec)
	for _, inPlace := range []bool{false, true} {
		o := read(t, raw)
		o.InPlace = inPlace
		replaced := map[int]*prog.Func{}
		for k, f := range o.Functions() {
			g := f.Clone()
			if !inPlace {
				at := 1 // not in front: what starts there would start elsewhere
				if err := g.Splice(at, at, []prog.Insn{prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: 3, Imm: 1})}); err != nil {
					t.Fatal(err)
				}
			}
			replaced[k] = g
		}
		out, err := o.Encode(replaced)
		if err != nil {
			t.Fatal(err)
		}
		// The library's own reader, with no help.
		spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		named(t, "written", spec)
		w := read(t, out)
		size := map[int]int{}
		for _, fn := range w.funcs {
			size[fn.sec] += fn.size
		}
		for sec, n := range size {
			if s := w.file.Sections[sec]; int(s.Size) != n {
				t.Errorf("section %s: %d bytes, its functions %d", s.Name, s.Size, n)
			}
		}
	}
}

// Code that a symbol points at stays where it is from its neighbours.
func TestLabelledGapStays(t *testing.T) {
	raw := linked(t)
	o := read(t, raw)
	for _, s := range o.file.Sections {
		for k, sym := range o.syms {
			if at := int(s.Offset) + 24*(k+1); s.Type == delf.SHT_SYMTAB && strings.HasPrefix(sym.Name, "lost_") {
				sec := ".text"
				if sym.Name == "lost_program" {
					sec = "xdp"
				}
				for n, x := range o.file.Sections {
					if x.Name == sec {
						binary.LittleEndian.PutUint16(raw[at+6:], uint16(n))
					}
				}
			}
		}
	}
	o = read(t, raw)
	out, err := o.Encode(map[int]*prog.Func{0: o.Functions()[0].Clone()})
	if err != nil {
		t.Fatal(err)
	}
	w := read(t, out)
	for n, s := range o.file.Sections {
		if s.Flags&delf.SHF_EXECINSTR != 0 && w.file.Sections[n].Size != s.Size {
			t.Errorf("section %s: %d bytes became %d", s.Name, s.Size, w.file.Sections[n].Size)
		}
	}
}
