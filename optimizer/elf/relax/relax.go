package relax

import (
	"bytes"
	delf "debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// Options say what an object leaves open.
type Options struct {
	// Type is the section name, such as "xdp" or "tc", that gives the type of
	// programs whose own section's name gives none; empty for unknown.
	Type string
}

// Collection reads an object. Programs that cannot be read are missing from the
// result and have their reason in the map; the error is for objects of which
// nothing can be read.
func Collection(raw []byte, o Options) (*ebpf.CollectionSpec, map[string]error, error) {
	spec, err := whole(raw, o)
	if err == nil {
		return spec, nil, nil
	}
	m, merr := open(raw)
	if merr != nil {
		return nil, nil, err
	}
	bad := map[string]error{}
	all := &ebpf.CollectionSpec{Maps: map[string]*ebpf.MapSpec{}, Programs: map[string]*ebpf.ProgramSpec{},
		Variables: map[string]*ebpf.VariableSpec{}, ByteOrder: binary.LittleEndian}
	for _, p := range m.programs() {
		spec, perr := patched(raw, p, o)
		if perr != nil {
			if ext := m.missing(); ext != "" {
				perr = fmt.Errorf("%s is defined in another object: link them first (bpftool gen object)", ext)
			}
			bad[p] = perr
			continue
		}
		all.Programs[p] = spec.Programs[p]
		all.Types = spec.Types
		for n, ms := range spec.Maps {
			all.Maps[n] = ms
		}
		for n, v := range spec.Variables {
			all.Variables[n] = v
		}
	}
	if len(bad) == 0 && len(all.Programs) == 0 {
		return nil, nil, err
	}
	return all, bad, nil
}

// Program reads one program of an object with all maps.
func Program(raw []byte, program string, o Options) (*ebpf.CollectionSpec, error) {
	spec, err := whole(raw, o)
	if err != nil {
		if spec, err = patched(raw, program, o); err != nil {
			return nil, err
		}
	}
	if spec.Programs[program] == nil {
		return nil, fmt.Errorf("the object has no program %q", program)
	}
	return spec, nil
}

// Facts reports whether an object has symbols that are defined elsewhere, in
// the kernel or its configuration, and returns its types as they are encoded.
// What cannot be read has externals.
func Facts(raw []byte) (externals bool, types []byte) {
	m, err := open(raw)
	if err != nil {
		return true, nil
	}
	if n := m.find(".BTF"); n != 0 {
		if types, err = m.section(n); err != nil {
			return true, nil
		}
	}
	for k := range m.syms {
		externals = externals || k > 0 && m.syms[k].Shndx == uint16(delf.SHN_UNDEF)
	}
	return externals, types
}

// HasGraphs reports whether an object has types that hold lists or trees of
// others, told by declaration tags.
func HasGraphs(raw []byte) bool {
	_, types := Facts(raw)
	return bytes.Contains(types, []byte("\x00contains:"))
}

// whole reads an object with all its programs, as it is if that is possible.
func whole(raw []byte, o Options) (*ebpf.CollectionSpec, error) {
	spec, err := load(raw)
	m, merr := open(raw)
	if err == nil && (merr != nil || len(m.hidden()) == 0 && !m.probing() && !m.hasGaps() && len(m.aliases()) == 0 && (o.Type == "" || !untyped(spec))) {
		return spec, fix(spec, nil)
	}
	if merr != nil {
		return nil, err
	}
	if spec, perr := patched(raw, "", o); perr == nil {
		return spec, nil
	}
	if err == nil {
		return spec, fix(spec, nil)
	}
	return nil, err
}

func untyped(spec *ebpf.CollectionSpec) bool {
	for _, p := range spec.Programs {
		if p.Type == ebpf.UnspecifiedProgram {
			return true
		}
	}
	return false
}

// load is the library's reader. A malformed object must not take the program
// down.
func load(raw []byte) (spec *ebpf.CollectionSpec, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed object: %v", r)
		}
	}()
	return ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
}

// patched reads a patched copy, with one program alone if one is named.
func patched(raw []byte, program string, o Options) (*ebpf.CollectionSpec, error) {
	m, err := open(raw)
	if err != nil {
		return nil, err
	}
	if program != "" {
		if err := m.prune(program); err != nil {
			return nil, err
		}
	}
	n, err := m.patch()
	if err != nil {
		return nil, err
	}
	spec, err := m.load()
	if err == nil && o.Type != "" && untyped(spec) {
		for _, p := range spec.Programs {
			if sec := m.find(p.SectionName); p.Type == ebpf.UnspecifiedProgram && sec != 0 {
				if err := m.rename(sec, o.Type); err != nil {
					return nil, err
				}
			}
		}
		spec, err = m.load()
	}
	if err != nil {
		return nil, err
	}
	return spec, fix(spec, n)
}

func (m *image) load() (*ebpf.CollectionSpec, error) {
	b, err := m.encode()
	if err != nil {
		return nil, err
	}
	return load(b)
}

// fix sets right what the reader made of a patched copy, and of old-style map
// definitions.
func fix(spec *ebpf.CollectionSpec, n *notes) error {
	if err := legacyMaps(spec); err != nil {
		return err
	}
	// The library wants integers of configuration variables by no other name.
	var config *btf.Datasec
	if spec.Types != nil && spec.Types.TypeByName(".kconfig", &config) == nil {
		for _, x := range config.Vars {
			if v, ok := x.Type.(*btf.Var); ok {
				v.Type = btf.UnderlyingType(v.Type)
			}
		}
	}
	for _, p := range spec.Programs {
		for k := range p.Instructions {
			// GCC leaves the definition's offset where the file descriptor comes;
			// the library would take it for one.
			if in := &p.Instructions[k]; in.Reference() != "" && in.IsLoadFromMap() {
				in.Constant &^= math.MaxUint32
			}
		}
	}
	if n == nil {
		return nil
	}
	for name, mapped := range n.private {
		// The library lets user space map what is named like a data section;
		// libbpf only what has global variables. The kernel refuses locks in
		// mapped memory.
		if m := spec.Maps[name]; m != nil && !mapped {
			m.Name = strings.ReplaceAll(strings.TrimPrefix(m.Name, "."), ".", "_")
		}
	}
	setNumaNodes(spec, n.numa)
	if len(n.ksyms) == 0 {
		return nil
	}
	for _, p := range spec.Programs {
		for k := range p.Instructions {
			in := &p.Instructions[k]
			weak, ok := n.ksyms[in.Reference()]
			if !ok || !in.OpCode.IsDWordLoad() {
				continue
			}
			id, err := kernelVariable(in.Reference())
			if err != nil && !weak {
				id = -1 // the kernel refuses it, with this program alone
			}
			*in = typed(in, id)
		}
	}
	return nil
}

// pseudoBTFID marks a load of a kernel variable's address (BPF_PSEUDO_BTF_ID).
const pseudoBTFID = 3

// typed replaces a load of a kernel symbol by one with a type, or of zero.
func typed(in *asm.Instruction, id int64) asm.Instruction {
	out := asm.LoadImm(in.Dst, id, asm.DWord)
	if id != 0 {
		out.Src = pseudoBTFID
	}
	if s := in.Symbol(); s != "" {
		out = out.WithSymbol(s)
	}
	if s := in.Source(); s != nil {
		out = out.WithSource(s)
	}
	if f := btf.FuncMetadata(in); f != nil {
		out = btf.WithFuncMetadata(out, f)
	}
	return out
}

// Kernel holds the types of the running kernel. To decode them takes as long as
// ten loads: whoever loads programs does well to share it.
var Kernel = btf.NewCache()

// kernelVariable finds the number of a variable among the kernel's types.
func kernelVariable(name string) (int64, error) {
	spec, err := Kernel.Kernel()
	if err != nil {
		return 0, err
	}
	var v *btf.Var
	if err := spec.TypeByName(name, &v); err != nil {
		return 0, fmt.Errorf("the kernel has no variable %s: %w", name, err)
	}
	id, err := spec.TypeID(v)
	return int64(id), err
}

// elfMap is what follows the five words of struct bpf_map_def in iproute2's
// struct bpf_elf_map (include/bpf_api.h).
type elfMap struct{ ID, Pinning, InnerID, InnerIdx uint32 }

// legacyMaps interprets what old-style map definitions hold beyond the usual
// five words.
func legacyMaps(spec *ebpf.CollectionSpec) error {
	extra := map[string]elfMap{}
	for name, m := range spec.Maps {
		if m.Extra == nil {
			continue
		}
		b, err := io.ReadAll(m.Extra)
		if err != nil {
			return err
		}
		m.Extra = nil
		var e elfMap
		if len(b) >= 16 {
			if err := binary.Read(bytes.NewReader(b), le, &e); err != nil {
				return err
			}
		}
		extra[name] = e
	}
	for name, e := range extra {
		if e.InnerID == 0 {
			continue
		}
		for other, o := range extra {
			if other != name && o.ID == e.InnerID {
				spec.Maps[name].InnerMap = spec.Maps[other].Copy()
			}
		}
	}
	return nil
}
