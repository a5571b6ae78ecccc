package loader

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"

	"github.com/superbpf/superbpf/optimizer/elf/relax"
)

// parse reads an object and keeps one program and what it needs; with callees,
// also the programs that its tail call tables hold from the start.
func parse(object []byte, program, typ string, callees bool) (*ebpf.CollectionSpec, error) {
	spec, err := relax.Program(object, program, relax.Options{Type: typ})
	if err != nil {
		return nil, err
	}
	if p := spec.Programs[program]; p.Type == ebpf.UnspecifiedProgram {
		return nil, fmt.Errorf("section name %q gives no program type; say it with --type xdp, tc, ...", p.SectionName)
	}
	programs, used := map[string]*ebpf.ProgramSpec{}, map[string]bool{}
	var visitMap func(name string)
	var visit func(name string)
	visitMap = func(name string) {
		m := spec.Maps[name]
		if m == nil || used[name] {
			return
		}
		used[name] = true
		var contents []ebpf.MapKV
		for _, kv := range m.Contents {
			other, named := kv.Value.(string)
			switch {
			case !named:
			case m.Type == ebpf.ProgramArray && !callees:
				continue // what it holds does not matter to the verifier
			case m.Type == ebpf.ProgramArray:
				visit(other)
			default:
				visitMap(other)
			}
			contents = append(contents, kv)
		}
		m.Contents = contents
		if m.MaxEntries == 0 {
			m.MaxEntries = entries(m.Type)
		}
		if m.ValueSize == 0 && m.Type == ebpf.StackTrace {
			m.ValueSize = 8 // how deep stacks are, its own loader sets: no program sees it
		}
		// Pinned maps would be shared with whatever runs on this host.
		m.Pinning = ebpf.PinNone
	}
	visit = func(name string) {
		p := spec.Programs[name]
		if p == nil || programs[name] != nil {
			return
		}
		programs[name] = p
		for _, in := range p.Instructions {
			if r := in.Reference(); r != "" {
				visitMap(r)
			}
		}
	}
	visit(program)
	spec.Programs = programs
	for name := range spec.Maps {
		if !used[name] {
			delete(spec.Maps, name)
		}
	}
	for name := range spec.Variables {
		if v := spec.Variables[name]; v != nil && spec.Maps[v.SectionName] == nil {
			delete(spec.Variables, name)
		}
	}
	return spec, nil
}

// entries stands in for a number of entries that the program's own loader sets:
// the least that the kernel takes, 0 where it wants none or the library knows.
func entries(t ebpf.MapType) uint32 {
	switch t {
	case ebpf.RingBuf, ebpf.UserRingbuf:
		return uint32(os.Getpagesize())
	case ebpf.Hash, ebpf.Array, ebpf.ProgramArray, ebpf.PerCPUHash, ebpf.PerCPUArray, ebpf.StackTrace, ebpf.CGroupArray,
		ebpf.LRUHash, ebpf.LRUCPUHash, ebpf.LPMTrie, ebpf.ArrayOfMaps, ebpf.HashOfMaps, ebpf.DevMap, ebpf.SockMap, ebpf.CPUMap,
		ebpf.XSKMap, ebpf.SockHash, ebpf.ReusePortSockArray, ebpf.Queue, ebpf.Stack, ebpf.DevMapHash, ebpf.BloomFilter:
		return 1
	}
	return 0
}
