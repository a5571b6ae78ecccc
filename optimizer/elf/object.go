package elf

import (
	"bytes"
	delf "debug/elf"
	"fmt"
	"slices"
	"strings"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// findUsers lists for each function the programs that contain it.
func (o *Object) findUsers() {
	o.users = make([][]string, len(o.funcs))
	at := map[*function]int{}
	for i, f := range o.funcs {
		at[f] = i
	}
	for _, f := range o.funcs {
		if !f.Entry {
			continue
		}
		seen := map[*function]bool{}
		var visit func(*function)
		visit = func(g *function) {
			if seen[g] {
				return
			}
			seen[g] = true
			o.users[at[g]] = append(o.users[at[g]], f.Name)
			for k := range g.Insns {
				if r := g.Insns[k].Ref; r != nil {
					if t := o.rels[r].target; t != nil {
						visit(t)
					}
				}
			}
		}
		visit(f)
	}
	o.typeSubprograms()
}

// typeSubprograms gives each subprogram the type of the programs that contain
// it: it may be handed their context. Of several types none is given.
func (o *Object) typeSubprograms() {
	types := map[string]prog.Type{}
	for _, f := range o.funcs {
		if f.Entry {
			types[f.Name] = f.Type
		}
	}
	for i, f := range o.funcs {
		if f.Entry || len(o.users[i]) == 0 {
			continue
		}
		f.Type = types[o.users[i][0]]
		for _, u := range o.users[i] {
			if types[u] != f.Type {
				f.Type = prog.TypeUnspec
			}
		}
	}
}

// Functions lists all functions: programs and subprograms.
func (o *Object) Functions() []*prog.Func { return o.list }

// Users names the programs that contain function i.
func (o *Object) Users(i int) []string { return o.users[i] }

// Maps returns the map definitions by name.
func (o *Object) Maps() map[string]*prog.Map { return o.maps }

// Callee returns the function of that name, nil if there is none or several.
func (o *Object) Callee(name string) *prog.Func {
	var found *prog.Func
	for _, f := range o.list {
		if f.Name == name {
			if found != nil {
				return nil
			}
			found = f
		}
	}
	return found
}

// Callers counts the functions that call the one of that name, or take its address.
func (o *Object) Callers(name string) int {
	n := 0
	for _, f := range o.list {
		if f.Name != name && slices.ContainsFunc(f.Insns, func(in prog.Insn) bool {
			return in.Ref != nil && in.Ref.Kind == prog.RefFunc && in.Ref.Name == name
		}) {
			n++
		}
	}
	return n
}

// LostSections names the sections of an object that have no contents in what
// was written for it: DWARF, which speaks of addresses throughout.
func LostSections(in, out []byte) []string {
	a, err1 := delf.NewFile(bytes.NewReader(in))
	b, err2 := delf.NewFile(bytes.NewReader(out))
	if err1 != nil || err2 != nil {
		return nil
	}
	var lost []string
	for i, s := range a.Sections {
		if s.Size > 0 && i < len(b.Sections) && b.Sections[i].Size == 0 && s.Type == delf.SHT_PROGBITS {
			lost = append(lost, s.Name)
		}
	}
	return lost
}

// Raw is a function's bytes and, in words, its relocations: what is left to
// compare of one that cannot be decoded.
func (o *Object) Raw(i int) (code []byte, relocations string) {
	fn := o.funcs[i]
	data, err := o.file.Sections[fn.sec].Data()
	if err != nil {
		return nil, ""
	}
	rels, err := o.relocations(fn.sec)
	if err != nil {
		return nil, ""
	}
	var b strings.Builder
	for at := fn.off; at < fn.off+fn.size; at += 8 {
		r, ok := rels[at]
		if !ok {
			continue
		}
		name := ""
		if n := int(delf.R_SYM64(r.Info)); n > 0 && n <= len(o.syms) {
			name = fmt.Sprint(o.syms[n-1].Name, " ", o.syms[n-1].Section, " ", o.syms[n-1].Value)
		}
		fmt.Fprintf(&b, "%d: %d %s\n", at-fn.off, delf.R_TYPE64(r.Info), name)
	}
	return data[fn.off : fn.off+fn.size], b.String()
}
