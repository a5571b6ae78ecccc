package loader

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/superbpf/superbpf/optimizer/elf/relax"
)

// Loaded is a program in the kernel with maps of its own.
type Loaded struct {
	name string
	coll *ebpf.Collection
	spec *ebpf.CollectionSpec
}

// Open loads a program of an object with fresh maps; typ is as in Kernel.Type.
// The caller closes it.
func Open(object []byte, program, typ string) (*Loaded, error) {
	spec, err := parse(object, program, typ, true)
	if err != nil {
		return nil, err
	}
	return open(spec, program)
}

// OpenTestable is Open, except that a tracepoint's program, which the kernel does
// not test-run, is loaded as a raw tracepoint's if that type allows all that it
// does. Both get a flat context of numbers, run the same instructions, and may
// call the same helpers; a raw tracepoint's context is 96 bytes.
func OpenTestable(object []byte, program string) (*Loaded, error) {
	return OpenTestableAs(object, program, "")
}

// OpenTestableAs is OpenTestable with Kernel.Type.
func OpenTestableAs(object []byte, program, typ string) (*Loaded, error) {
	spec, err := parse(object, program, typ, true)
	if err != nil {
		return nil, err
	}
	if p := spec.Programs[program]; p.Type == ebpf.TracePoint {
		raw := spec.Copy()
		raw.Programs[program].Type, raw.Programs[program].AttachTo = ebpf.RawTracepoint, ""
		if l, err := open(raw, program); err == nil {
			return l, nil
		}
	}
	return open(spec, program)
}

func open(spec *ebpf.CollectionSpec, program string) (*Loaded, error) {
	coll, err := newCollection(spec, ebpf.CollectionOptions{})
	if err != nil {
		return nil, fmt.Errorf("program %s: %w", program, err)
	}
	return &Loaded{name: program, coll: coll, spec: spec}, nil
}

// MapNames lists an object's maps, in alphabetical order.
func MapNames(object []byte) ([]string, error) {
	spec, _, err := relax.Collection(object, relax.Options{})
	if err != nil {
		return nil, fmt.Errorf("reading the object: %w", err)
	}
	return slices.Sorted(maps.Keys(spec.Maps)), nil
}

// Close unloads the program and frees its maps.
func (l *Loaded) Close() error { l.coll.Close(); return nil }

// Name is the program's name.
func (l *Loaded) Name() string { return l.name }

// FD is the program's file descriptor, valid until Close.
func (l *Loaded) FD() int { return l.coll.Programs[l.name].FD() }

// Type is the program's type as the kernel numbers it (enum bpf_prog_type).
func (l *Loaded) Type() uint32 { return uint32(l.coll.Programs[l.name].Type()) }

// AttachType is what the program's section attaches to (enum bpf_attach_type).
func (l *Loaded) AttachType() uint32 { return uint32(l.spec.Programs[l.name].AttachType) }

// Target is what the program's section names: the tracepoint, for instance, as
// group/name.
func (l *Loaded) Target() string { return l.spec.Programs[l.name].AttachTo }

// Tag is the kernel's hash of the program's instructions.
func (l *Loaded) Tag() string {
	if info, err := l.coll.Programs[l.name].Info(); err == nil {
		return info.Tag
	}
	return ""
}

// Code tells what the kernel was given: its hash of the program's instructions,
// which leaves out maps, and the maps and places in their values that the
// instructions name, in their order.
func (l *Loaded) Code() (string, error) {
	p := l.coll.Programs[l.name]
	info, err := p.Info()
	if err != nil {
		return "", err
	}
	names := map[ebpf.MapID]string{}
	for name, m := range l.coll.Maps {
		if i, err := m.Info(); err == nil {
			if id, ok := i.ID(); ok {
				names[id] = name
			}
		}
	}
	insns, err := info.Instructions()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(info.Tag)
	for _, in := range insns {
		if !in.IsLoadFromMap() {
			continue
		}
		place := in.Constant >> 32 // of the value; none in a pointer to the map
		fmt.Fprintf(&b, " %s+%d", names[ebpf.MapID(uint32(in.Constant))], place)
	}
	return b.String(), nil
}

// Entry is one element of a map, with one value per possible CPU laid end to
// end for per-CPU maps.
type Entry struct{ Key, Value []byte }

// Map is a map of a loaded program.
type Map struct {
	Name string
	m    *ebpf.Map
}

// Maps lists the program's maps by name.
func (l *Loaded) Maps() []Map {
	var out []Map
	for name, m := range l.coll.Maps {
		out = append(out, Map{name, m})
	}
	slices.SortFunc(out, func(a, b Map) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return out
}

// Map finds a map by name.
func (l *Loaded) Map(name string) (Map, bool) {
	m := l.coll.Maps[name]
	return Map{name, m}, m != nil
}

// FD is the map's file descriptor.
func (m Map) FD() int { return m.m.FD() }

// Type is the map's type as the kernel numbers it.
func (m Map) Type() uint32 { return uint32(m.m.Type()) }

// KeySize and ValueSize are in bytes.
func (m Map) KeySize() int { return int(m.m.KeySize()) }

// ValueSize: see KeySize.
func (m Map) ValueSize() int { return int(m.m.ValueSize()) }

// PerCPU reports whether each CPU has a value of its own.
func (m Map) PerCPU() bool {
	switch m.m.Type() {
	case ebpf.PerCPUArray, ebpf.PerCPUHash, ebpf.LRUCPUHash:
		return true
	}
	return false
}

// readable: the map's elements can be listed from user space.
func (m Map) readable() bool {
	switch m.m.Type() {
	case ebpf.RingBuf, ebpf.UserRingbuf, ebpf.PerfEventArray, ebpf.ProgramArray, ebpf.Queue, ebpf.Stack, ebpf.XSKMap, ebpf.SockMap,
		ebpf.SockHash, ebpf.CGroupArray, ebpf.ArrayOfMaps, ebpf.HashOfMaps, ebpf.StructOpsMap, ebpf.StackTrace:
		return false
	}
	return true
}

// Dump lists the elements sorted by key; maps that cannot be listed are empty.
func (m Map) Dump() ([]Entry, error) {
	if !m.readable() {
		return nil, nil
	}
	var out []Entry
	it := m.m.Iterate()
	var key []byte
	if m.PerCPU() {
		var values [][]byte
		for it.Next(&key, &values) {
			out = append(out, Entry{bytes.Clone(key), slices.Concat(values...)})
		}
	} else {
		var value []byte
		for it.Next(&key, &value) {
			out = append(out, Entry{bytes.Clone(key), bytes.Clone(value)})
		}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("map %s: %w", m.Name, err)
	}
	slices.SortFunc(out, func(a, b Entry) int { return bytes.Compare(a.Key, b.Key) })
	return out, nil
}

// Fits reports whether the value is of the map's size: a per-CPU map takes a
// value for all CPUs, or one for each, laid end to end.
func (m Map) Fits(value []byte) bool {
	if len(value) == m.ValueSize() {
		return true
	}
	n, err := ebpf.PossibleCPU()
	return err == nil && m.PerCPU() && len(value) == n*m.ValueSize()
}

// Set writes one element; the value must fit.
func (m Map) Set(key, value []byte) error {
	if !m.PerCPU() {
		return m.m.Put(key, value)
	}
	n, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	all := make([][]byte, n)
	for i := range all {
		all[i] = value
		if size := m.ValueSize(); len(value) == n*size {
			all[i] = value[i*size:][:size]
		}
	}
	return m.m.Put(key, all)
}

// Delete removes one element; one that is not there is no error.
func (m Map) Delete(key []byte) error {
	if err := m.m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}
