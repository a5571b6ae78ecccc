package elf

import (
	"bytes"
	delf "debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/superbpf/superbpf/optimizer/elf/relax"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Errors that Read wraps.
var (
	ErrNotELF     = errors.New("not an ELF file")
	ErrNotBPF     = errors.New("not a BPF object")
	ErrNoPrograms = errors.New("the object holds no BPF programs")
)

// maxSize bounds the objects that Read takes, in bytes.
const maxSize = 64 << 20

// Object is a BPF object file.
type Object struct {
	// InPlace makes Encode keep the layout.
	InPlace bool

	raw   []byte
	file  *delf.File
	syms  []delf.Symbol
	funcs []*function
	list  []*prog.Func
	maps  map[string]*prog.Map
	refs  map[refKey]*prog.Ref
	rels  map[*prog.Ref]reloc // how a reference is written
	ext   *btfExt
	types *btf.Spec
	users [][]string
}

// function is a function's place in the file.
type function struct {
	*prog.Func
	sec    int // section number
	off    int // bytes from the section's start
	size   int
	insnAt []int    // byte offset of each instruction from the function's start, and the end
	lines  [][]byte // line records, by rising offsets in the section
}

// reloc is the relocation that a reference needs. Type 0: none, a call within
// the section.
type reloc struct {
	sym, typ uint32
	// fixImm: the immediate holds the target's place within its section.
	target *function
	delta  int
}

type refKey struct {
	kind  prog.RefKind
	name  string
	off   int64
	loose bool
	id    int
	rel   [2]uint32
}

// Read parses an object.
func Read(raw []byte) (*Object, error) { return ReadAs(raw, "") }

// ReadAs is Read with the section name ("xdp", "tc", ...) that gives the type of
// the programs whose own section's name gives none.
func ReadAs(raw []byte, typ string) (o *Object, err error) {
	defer func() {
		// A malformed file must not take the program down, whoever parses it.
		if r := recover(); r != nil {
			o, err = nil, fmt.Errorf("malformed object: %v", r)
		}
	}()
	if len(raw) < 4 || string(raw[:4]) != delf.ELFMAG {
		return nil, ErrNotELF
	}
	if len(raw) > maxSize {
		return nil, fmt.Errorf("object of %d bytes: more than %d", len(raw), maxSize)
	}
	f, err := delf.NewFile(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("damaged ELF file: %w", err)
	}
	if f.Machine != delf.EM_BPF {
		return nil, fmt.Errorf("%w: it is for machine %v; compile with clang -target bpf", ErrNotBPF, f.Machine)
	}
	if f.Class != delf.ELFCLASS64 || f.ByteOrder != binary.ByteOrder(binary.LittleEndian) {
		return nil, fmt.Errorf("%w: only 64-bit little-endian objects are supported", ErrNotBPF)
	}
	spec, bad, err := relax.Collection(raw, relax.Options{Type: typ})
	if err != nil {
		return nil, fmt.Errorf("cannot read the object: %w", err)
	}
	o = &Object{raw: raw, file: f, types: spec.Types, maps: map[string]*prog.Map{}, refs: map[refKey]*prog.Ref{}, rels: map[*prog.Ref]reloc{}}
	if o.syms, err = f.Symbols(); err != nil && !errors.Is(err, delf.ErrNoSymbols) {
		return nil, fmt.Errorf("damaged symbol table: %w", err)
	}
	for name, m := range spec.Maps {
		o.maps[name] = convertMap(name, m)
	}
	if o.ext, err = readExt(f); err != nil {
		return nil, err
	}
	o.findFunctions(spec, bad)
	o.findLines()
	if !slices.ContainsFunc(o.list, func(f *prog.Func) bool { return f.Entry }) {
		return nil, ErrNoPrograms
	}
	for _, fn := range o.funcs {
		err := o.decode(fn)
		if err == nil && fn.Entry {
			err = bad[fn.Name]
		}
		if err != nil {
			fn.Unsupported = err.Error()
			fn.Insns = nil
		}
	}
	o.refuseCalledPrograms()
	o.findReads(spec)
	o.findUsers()
	o.findArgs(spec)
	return o, nil
}

func convertMap(name string, m *ebpf.MapSpec) *prog.Map {
	out := &prog.Map{Name: name, Type: prog.MapType(m.Type), KeySize: m.KeySize, ValueSize: m.ValueSize, MaxEntries: m.MaxEntries, Flags: m.Flags}
	if m.InnerMap != nil {
		out.Inner = convertMap(name+".inner", m.InnerMap)
	}
	for _, kv := range m.Contents {
		if b, ok := kv.Value.([]byte); ok && strings.HasPrefix(name, ".") {
			out.Data = b
		}
	}
	out.ReadOnly = strings.HasPrefix(name, ".rodata")
	return out
}

// findFunctions lists the function symbols of executable sections.
func (o *Object) findFunctions(spec *ebpf.CollectionSpec, bad map[string]error) {
	for _, s := range o.syms {
		sec := int(s.Section)
		if delf.ST_TYPE(s.Info) != delf.STT_FUNC || sec <= 0 || sec >= len(o.file.Sections) || s.Size == 0 {
			continue
		}
		section := o.file.Sections[sec]
		if section.Flags&delf.SHF_EXECINSTR == 0 || section.Type != delf.SHT_PROGBITS {
			continue
		}
		if s.Value+s.Size < s.Value || s.Value+s.Size > section.Size {
			continue
		}
		fn := &function{Func: &prog.Func{Name: s.Name, Section: section.Name, NumArgs: 5}, sec: sec, off: int(s.Value), size: int(s.Size)}
		if p := spec.Programs[s.Name]; p != nil && section.Name != ".text" {
			fn.Entry, fn.Type, fn.Attach, fn.NumArgs = true, prog.Type(p.Type), uint32(p.AttachType), 1
		} else if bad[s.Name] != nil && section.Name != ".text" {
			fn.Entry, fn.NumArgs = true, 1
		} else {
			// The kernel checks these alone. Hidden ones libbpf makes static.
			v := delf.ST_VISIBILITY(s.Other)
			fn.Global = delf.ST_BIND(s.Info) != delf.STB_LOCAL && v != delf.STV_HIDDEN && v != delf.STV_INTERNAL
			fn.NumArgs = numArgs(spec, s.Name)
		}
		o.funcs = append(o.funcs, fn)
	}
	slices.SortStableFunc(o.funcs, func(a, b *function) int {
		if a.sec != b.sec {
			return a.sec - b.sec
		}
		return a.off - b.off
	})
	// A second name is the same function; references to it are written as they were.
	o.funcs = slices.CompactFunc(o.funcs, func(a, b *function) bool {
		return a.sec == b.sec && a.off == b.off && a.size == b.size
	})
	for _, fn := range o.funcs {
		o.list = append(o.list, fn.Func)
	}
}

// numArgs is the number of parameters that BTF gives a function, 5 if it does
// not say.
func numArgs(spec *ebpf.CollectionSpec, name string) int {
	if spec.Types == nil {
		return 5
	}
	var fn *btf.Func
	if err := spec.Types.TypeByName(name, &fn); err != nil {
		return 5
	}
	if p, ok := fn.Type.(*btf.FuncProto); ok && len(p.Params) <= 5 {
		return len(p.Params)
	}
	return 5
}

// decode turns a function's bytes into instructions.
func (o *Object) decode(fn *function) error {
	data, err := o.file.Sections[fn.sec].Data()
	if err != nil {
		return err
	}
	code := data[fn.off : fn.off+fn.size]
	rels, err := o.relocations(fn.sec)
	if err != nil {
		return err
	}
	index := map[int]int{} // byte offset to instruction
	type jump struct{ at, to int }
	var jumps []jump
	for at := 0; at < len(code); {
		raw, n, err := isa.ReadRaw(code[at:], binary.LittleEndian)
		if err != nil {
			return fmt.Errorf("section %s, offset %#x: %w", fn.Section, fn.off+at, err)
		}
		i, dist, err := isa.Decode(raw)
		if err != nil {
			return fmt.Errorf("section %s, offset %#x: %w", fn.Section, fn.off+at, err)
		}
		in := prog.New(i)
		in.Origin = len(fn.Insns)
		index[at] = len(fn.Insns)
		fn.insnAt = append(fn.insnAt, at)
		abs := fn.off + at
		if core, ok := o.ext.coreAt(fn.Section, abs); ok {
			rec, err := o.ext.core(core)
			if err != nil || len(rec) < 16 {
				return fmt.Errorf("section %s, offset %#x: CO-RE record too short", fn.Section, abs)
			}
			// Type, access and kind: equal records over the same types are patched alike.
			in.Ref = &prog.Ref{Kind: prog.RefCORE, Name: fmt.Sprintf("CO-RE %x of %s", rec[4:16], o.ext.types), ID: core}
			if in.Row().Kind == isa.KindLoad && o.ext.signedField(o.types, rec) == in.Row().Width {
				in.Ref.Signed = true
				in.Ref.Name += prog.SignedField
			}
		}
		if r, ok := rels[abs]; ok {
			ref, err := o.reference(fn, &in, r, raw)
			if err != nil {
				return fmt.Errorf("section %s, offset %#x: %w", fn.Section, abs, err)
			}
			in.Ref = ref
		} else if in.Row().Kind == isa.KindCallFunc {
			target := o.functionAt(fn.sec, abs+8+8*dist)
			if target == nil {
				return fmt.Errorf("section %s, offset %#x: call into nowhere", fn.Section, abs)
			}
			in.Ref = o.share(refKey{kind: prog.RefFunc, name: o.nameOf(target), id: target.sec}, reloc{target: target})
		}
		if in.Row().Kind == isa.KindCallFunc || in.Ref != nil && in.Ref.Kind == prog.RefFunc {
			in.Imm = 0 // written anew from the reference
		}
		if in.IsJump() {
			jumps = append(jumps, jump{len(fn.Insns), at + n + 8*dist})
		}
		fn.Insns = append(fn.Insns, in)
		at += n
	}
	fn.insnAt = append(fn.insnAt, len(code))
	for _, j := range jumps {
		t, ok := index[j.to]
		if !ok {
			return fmt.Errorf("section %s, offset %#x: jump outside the function", fn.Section, fn.off+fn.insnAt[j.at])
		}
		fn.Insns[j.at].Target = t
	}
	return prog.Check(fn.Func)
}

func (o *Object) share(k refKey, r reloc) *prog.Ref {
	k.rel = [2]uint32{r.sym, r.typ}
	if ref := o.refs[k]; ref != nil {
		return ref
	}
	ref := &prog.Ref{Kind: k.kind, Name: k.name, Map: o.maps[k.name], Off: k.off, Loose: k.loose, ID: k.id}
	if k.kind != prog.RefMap && k.kind != prog.RefMapValue && k.kind != prog.RefKconfig {
		ref.Map = nil
	}
	o.refs[k] = ref
	o.rels[ref] = r
	return ref
}

func (o *Object) functionAt(sec, off int) *function {
	for _, f := range o.funcs {
		if f.sec == sec && f.off == off {
			return f
		}
	}
	return nil
}

// nameOf is what references call a function. Static linking leaves several static
// functions of one name, which are numbered then.
func (o *Object) nameOf(target *function) string {
	all, number := 0, 0
	for _, f := range o.funcs {
		if f.Name == target.Name {
			if all++; f == target {
				number = all
			}
		}
	}
	if all == 1 {
		return target.Name
	}
	return fmt.Sprintf("%s/%d", target.Name, number)
}

// relocations returns a section's relocations by byte offset.
func (o *Object) relocations(sec int) (map[int]delf.Rel64, error) {
	out := map[int]delf.Rel64{}
	for _, s := range o.file.Sections {
		if s.Type != delf.SHT_REL || int(s.Info) != sec {
			continue
		}
		data, err := s.Data()
		if err != nil {
			return nil, err
		}
		for ; len(data) >= 16; data = data[16:] {
			r := delf.Rel64{Off: binary.LittleEndian.Uint64(data), Info: binary.LittleEndian.Uint64(data[8:])}
			out[int(r.Off)] = r
		}
	}
	return out, nil
}

// Relocation types of the BPF ABI (LLVM, BPFELFRelocs).
const (
	rel64_64 = 1
	rel64_32 = 10
)

// reference interprets a relocation of an instruction.
func (o *Object) reference(fn *function, in *prog.Insn, r delf.Rel64, raw isa.Raw) (*prog.Ref, error) {
	symNo, typ := delf.R_SYM64(r.Info), delf.R_TYPE64(r.Info)
	if symNo == 0 || int(symNo) > len(o.syms) {
		return nil, fmt.Errorf("relocation names symbol %d of %d", symNo, len(o.syms))
	}
	sym := o.syms[symNo-1]
	rel := reloc{sym: symNo, typ: typ}
	opaque := o.share(refKey{kind: prog.RefOpaque, name: sym.Name, off: in.Imm, id: int(symNo)}, rel)
	isSection := delf.ST_TYPE(sym.Info) == delf.STT_SECTION
	section := ""
	executable := false
	if int(sym.Section) > 0 && int(sym.Section) < len(o.file.Sections) {
		s := o.file.Sections[sym.Section]
		section, executable = s.Name, s.Flags&delf.SHF_EXECINSTR != 0
	}
	kind := in.Row().Kind
	switch {
	case sym.Section == delf.SHN_UNDEF:
		k := prog.RefKsym
		if kind == isa.KindCallFunc || kind == isa.KindCallKfunc {
			k = prog.RefKfunc
		}
		return o.share(refKey{kind: k, name: sym.Name, off: in.Imm}, rel), nil
	case typ == rel64_32 && kind == isa.KindCallFunc && executable:
		off := int(sym.Value)
		if isSection {
			off += 8 * (int(raw.Imm) + 1)
			rel.delta = 1 // the immediate holds the place
		}
		target := o.functionAt(int(sym.Section), off)
		if target == nil {
			return nil, fmt.Errorf("call of something that is not a function in %s", section)
		}
		rel.target = target
		return o.share(refKey{kind: prog.RefFunc, name: o.nameOf(target), id: target.sec}, rel), nil
	case typ == rel64_64 && kind == isa.KindLoadImm && executable:
		off := int(sym.Value)
		switch {
		case isSection:
			off += int(raw.Imm)
			rel.delta = 1
		case raw.Imm != 0:
			return nil, fmt.Errorf("the address of %s with an offset, which loaders read in different ways", sym.Name)
		}
		target := o.functionAt(int(sym.Section), off)
		if target == nil {
			return nil, fmt.Errorf("address of something that is not a function in %s", section)
		}
		rel.target = target
		return o.share(refKey{kind: prog.RefFunc, name: o.nameOf(target), off: 1, id: target.sec}, rel), nil
	case typ == rel64_64 && kind == isa.KindLoadImm && (section == ".maps" || section == "maps" || strings.HasPrefix(section, "maps/")):
		if o.maps[sym.Name] == nil {
			return opaque, nil
		}
		return o.share(refKey{kind: prog.RefMap, name: sym.Name}, rel), nil
	case typ == rel64_64 && kind == isa.KindLoadImm && o.maps[section] != nil:
		// libbpf adds the immediate to the symbol's place; the library that loads
		// here takes it for the place in a section's symbol, and else ignores it.
		// GCC puts the place there too.
		k := refKey{kind: prog.RefMapValue, name: section, off: int64(sym.Value) + int64(raw.Imm)}
		if raw.Imm != 0 && (!isSection || sym.Value != 0) {
			k.loose, k.id = true, int(symNo)
		}
		return o.share(k, rel), nil
	}
	return opaque, nil
}
