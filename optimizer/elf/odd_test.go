package elf

import (
	"bytes"
	delf "debug/elf"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// What the library's reader refuses is read all the same, and what one program
// does wrong is that program's alone.
func TestOddObjects(t *testing.T) {
	raw := compile(t, "odd.c", "-g", "-D__TARGET_ARCH_x86")
	o := read(t, raw)
	entries := 0
	for _, f := range o.Functions() {
		if f.Global {
			t.Errorf("%s is global: it is hidden", f.Name)
		}
		if f.Entry {
			entries++
		}
		if f.Name == "odd_section" && f.Type != prog.TypeUnspec {
			t.Errorf("odd_section has type %d", f.Type)
		}
	}
	if entries != 8 {
		t.Errorf("%d programs, want 8", entries)
	}
	o, err := ReadAs(raw, "xdp")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range o.Functions() {
		if f.Name == "odd_section" && f.Type != prog.TypeXDP {
			t.Errorf("odd_section has type %d although told", f.Type)
		}
		if f.Name == "odd_ksym" && f.Type != prog.TypeRawTracepoint {
			t.Errorf("odd_ksym has type %d although its section says raw_tp", f.Type)
		}
	}
}

func TestLegacyMaps(t *testing.T) {
	o := read(t, compile(t, "legacy.c"))
	m := o.Maps()
	if c := m["counters"]; c == nil || c.ValueSize != 8 || c.MaxEntries != 2 {
		t.Errorf("counters: %+v", c)
	}
	if c := m["outer"]; c == nil || c.Inner == nil || c.Inner.ValueSize != 4 {
		t.Errorf("outer: %+v", c)
	}
}

// A variable's place that stands in the instruction beside its symbol, as GCC puts
// it there, is not known: loaders read it in different ways.
func TestPlacesBesideSymbols(t *testing.T) {
	raw := bytes.Clone(compile(t, "sample.c", "-g", "-mcpu=v2"))
	loose := func(o *Object) (is, all int) {
		for _, f := range o.Functions() {
			for k := range f.Insns {
				if r := f.Insns[k].Ref; r != nil && r.Kind == prog.RefMapValue {
					all++
					if r.Loose {
						is++
					}
				}
			}
		}
		return is, all
	}
	o := read(t, raw)
	before, all := loose(o)
	patched := 0
	for _, s := range o.file.Sections {
		if s.Type != delf.SHT_REL || o.file.Sections[s.Info].Flags&delf.SHF_EXECINSTR == 0 {
			continue
		}
		for p := int(s.Offset); p < int(s.Offset+s.Size); p += 16 {
			sym := o.syms[binary.LittleEndian.Uint32(raw[p+12:])-1]
			at := int(o.file.Sections[s.Info].Offset + binary.LittleEndian.Uint64(raw[p:]))
			if delf.ST_TYPE(sym.Info) == delf.STT_OBJECT && raw[at] == 0x18 && o.maps[o.file.Sections[sym.Section].Name] != nil {
				binary.LittleEndian.PutUint32(raw[at+4:], 4)
				patched++
			}
		}
	}
	after, _ := loose(read(t, raw))
	if before != 0 || patched == 0 || after != patched {
		t.Errorf("of %d addresses %d are loose; of %d with a place %d", all, before, patched, after)
	}
}

// A program with an instruction or a relocation that makes no sense does not
// keep the others from being read.
func TestOneBadProgram(t *testing.T) {
	for name, harm := range map[string]func(raw []byte, o *Object, fn *function){
		"opcode": func(raw []byte, o *Object, fn *function) { raw[int(o.file.Sections[fn.sec].Offset)+fn.off] = 0xff },
		"relocation": func(raw []byte, o *Object, fn *function) {
			for _, s := range o.file.Sections {
				if s.Type != delf.SHT_REL || int(s.Info) != fn.sec {
					continue
				}
				for p := int(s.Offset); p < int(s.Offset+s.Size); p += 16 {
					if off := int(binary.LittleEndian.Uint64(raw[p:])); off >= fn.off && off < fn.off+fn.size {
						binary.LittleEndian.PutUint32(raw[p+12:], 1) // the file name's symbol
					}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			raw := bytes.Clone(compile(t, "sample.c", "-g", "-mcpu=v2"))
			o := read(t, raw)
			for _, fn := range o.funcs {
				if fn.Name == "first" {
					harm(raw, o, fn)
				}
			}
			o, err := Read(raw)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range o.Functions() {
				if (f.Unsupported != "") != (f.Name == "first") {
					t.Errorf("%s: %q", f.Name, f.Unsupported)
				}
			}
			// They can be replaced, too.
			out, err := o.Encode(shortened(o))
			if err != nil {
				t.Fatal(err)
			}
			if n := len(read(t, compile(t, "sample.c", "-g", "-mcpu=v2")).raw); len(out) == n {
				t.Error("nothing was replaced")
			}
		})
	}
}

// shortened lists what can be replaced of an object, each but the last instruction
// that does nothing else than set a register.
func shortened(o *Object) map[int]*prog.Func {
	repl := map[int]*prog.Func{}
	for i, f := range o.Functions() {
		if f.Unsupported != "" || prog.Check(f) != nil {
			continue
		}
		g := f.Clone()
		for k := range g.Insns {
			if in := &g.Insns[k]; in.Row().Kind == isa.KindALU && in.Ref == nil {
				g.Insns[k] = prog.New(isa.Insn{Op: isa.Nop})
				break
			}
		}
		repl[i] = g
	}
	return repl
}

// An object that is damaged anywhere is refused, or read and written again; nothing
// panics or takes for ever.
func TestDamagedObjects(t *testing.T) {
	var objects [][]byte
	for _, name := range []string{"sample.c", "tables.c", "legacy.c", "odd.c"} {
		objects = append(objects, compile(t, name, "-g", "-mcpu=v2", "-D__TARGET_ARCH_x86"))
	}
	written := 0
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 0))
		raw := bytes.Clone(objects[r.IntN(len(objects))])
		le := binary.LittleEndian
		headers, count := int(le.Uint64(raw[40:])), int(le.Uint16(raw[60:]))
		values := []uint64{0, 1, 7, 1 << 31, 1 << 32, 1 << 63, ^uint64(0), r.Uint64()}
		switch r.IntN(4) {
		case 0:
			raw = raw[:r.IntN(len(raw))]
		case 1:
			for range 1 + r.IntN(4) {
				raw[r.IntN(len(raw))] ^= 1 << r.IntN(8)
			}
		case 2: // in a section's header
			le.PutUint64(raw[headers+8*r.IntN(8*count):], values[r.IntN(len(values))])
		case 3:
			le.PutUint64(raw[8*r.IntN(len(raw)/8):], values[r.IntN(len(values))])
		}
		o, err := Read(raw)
		if err != nil {
			continue
		}
		for _, repl := range []map[int]*prog.Func{nil, shortened(o)} {
			if out, err := o.Encode(repl); err == nil {
				LostSections(raw, out)
				written++
			}
		}
	}
	if written < 200 {
		t.Errorf("only %d were written", written)
	}
}

// An object that only works once linked says with what.
func TestNeedsLinking(t *testing.T) {
	o, err := Read(compile(t, "extern.c", "-g"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range o.Functions() {
		if f.Entry && !strings.Contains(f.Unsupported, "elsewhere is defined in another object") {
			t.Errorf("%s: %q", f.Name, f.Unsupported)
		}
	}
}
