package loader

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/superbpf/superbpf/optimizer/elf/relax"
)

// Prepared is a program that any kernel can be asked about once it has given
// numbers to the maps and types. Reading an object takes several times as long
// as having it verified, above all in an emulated machine; candidates for one
// program share all but their code.
//
// It has no line information, which the verifier only quotes: whoever writes an
// object must also ask about the object.
type Prepared struct {
	Name, License string
	// Type and Attach are numbers of the kernel's, Flags those of BPF_PROG_LOAD.
	Type, Attach, Flags uint32
	// Code has 8 bytes a slot, with subprograms behind the program.
	Code []byte
	Maps []MapUse
	// Set tells the definitions of the maps from others.
	Set [sha256.Size]byte
	// BTF and FuncInfo are what the kernel takes; both may be empty.
	BTF, FuncInfo []byte
	// Funcs are the functions in the order of their code.
	Funcs []FuncStart
}

// MapUse is an instruction that loads a map's address.
type MapUse struct {
	Slot int
	Name string
}

// FuncStart is where a function starts.
type FuncStart struct {
	Slot int
	Name string
}

// Prepare reads a program of an object; typ is as in Kernel.Type. It returns
// nil for one that cannot be read, or that holds what only the kernel at hand
// can tell: fields and types to be found among the kernel's, its functions,
// variables and configuration, what to attach to.
func Prepare(object []byte, program, typ string) *Prepared {
	spec, err := parse(object, program, typ, false)
	if err != nil {
		return nil
	}
	return prepare(object, spec, program)
}

// loadersMap lets the library encode instructions that load a map's address
// before there is a map.
type loadersMap struct{}

func (loadersMap) FD() int { return 0 }

func prepare(object []byte, spec *ebpf.CollectionSpec, program string) *Prepared {
	p := spec.Programs[program]
	externals, types := relax.Facts(object)
	if p == nil || p.AttachTarget != nil || p.Ifindex != 0 || externals {
		return nil
	}
	switch p.Type {
	case ebpf.Tracing, ebpf.LSM, ebpf.Extension, ebpf.StructOps:
		return nil
	}
	out := &Prepared{Name: p.Name, License: p.License, Type: uint32(p.Type), Attach: uint32(p.AttachType), Flags: p.Flags}
	code := slices.Clone(p.Instructions)
	slot := 0
	for k := range code {
		in := &code[k]
		if btf.CORERelocationMetadata(in) != nil || in.IsKfuncCall() {
			return nil
		}
		if s := in.Symbol(); s != "" {
			out.Funcs = append(out.Funcs, FuncStart{slot, s})
		}
		if in.IsLoadFromMap() {
			name := in.Reference()
			if spec.Maps[name] == nil || in.AssociateMap(loadersMap{}) != nil {
				return nil
			}
			out.Maps = append(out.Maps, MapUse{slot, name})
		}
		code[k] = in.WithSource(nil)
		slot += int(in.Size()) / asm.InstructionSize
	}
	var b btf.Builder
	var err error
	if out.FuncInfo, _, err = btf.MarshalExtInfos(code, &b); err != nil {
		return nil
	}
	if !b.Empty() {
		if out.BTF, err = b.Marshal(nil, btf.KernelMarshalOptions()); err != nil {
			return nil
		}
	}
	var buf bytes.Buffer
	if err := code.Marshal(&buf, binary.LittleEndian); err != nil {
		return nil
	}
	out.Code = buf.Bytes()
	out.Set = mapsOf(spec, types)
	return out
}

// mapsOf tells a set of map definitions from others. Types of keys and values
// hold locks and the like: all that the object says about types counts.
func mapsOf(spec *ebpf.CollectionSpec, types []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(types)
	var describe func(m *ebpf.MapSpec)
	describe = func(m *ebpf.MapSpec) {
		fmt.Fprintf(h, "%s %d %d %d %d %d %d %d %v %v\n", m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags, m.NumaNode, m.MapExtra, m.Key, m.Value)
		for _, kv := range m.Contents {
			if b, ok := kv.Value.([]byte); ok {
				fmt.Fprintf(h, "%v %d ", kv.Key, len(b))
				h.Write(b)
				continue
			}
			fmt.Fprintln(h, kv.Key, kv.Value)
		}
		if m.InnerMap != nil {
			describe(m.InnerMap)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Maps)) {
		fmt.Fprintln(h, name, owner(spec, spec.Maps[name]))
		describe(spec.Maps[name])
	}
	return [sha256.Size]byte(h.Sum(nil))
}
