package relax

import (
	"bytes"
	delf "debug/elf"
	"fmt"
	"strings"
)

// notes is what must be set right in the specifications of a patched object.
type notes struct {
	// private maps section names to whether user space may map them.
	private map[string]bool
	// ksyms are kernel variables with a type; the value tells weak ones.
	ksyms map[string]bool
	// numa names the maps whose definitions name a memory node.
	numa map[string]bool
}

// patch puts an object into a form that cilium/ebpf's reader takes.
func (m *image) patch() (*notes, error) {
	n := &notes{private: map[string]bool{}, ksyms: map[string]bool{}}
	var t *types
	btf := m.find(".BTF")
	if btf != 0 {
		b, err := m.section(btf)
		if err != nil {
			return nil, err
		}
		if t, err = readTypes(bytes.Clone(b)); err != nil {
			return nil, err
		}
	}
	if err := m.hideEmptyExt(); err != nil {
		return nil, err
	}
	if err := m.closeGaps(); err != nil {
		return nil, err
	}
	if err := m.oneName(); err != nil {
		return nil, err
	}
	if err := m.callbacks(); err != nil {
		return nil, err
	}
	m.strengthen()
	if err := m.uniqueNames(); err != nil {
		return nil, err
	}
	if t == nil {
		return n, nil
	}
	if err := m.structOps(t); err != nil {
		return nil, err
	}
	m.layout(t)
	hidden := m.hidden()
	hiddenFunctions(t, hidden)
	if err := m.privateData(t, hidden, n); err != nil {
		return nil, err
	}
	if err := m.kconfig(t); err != nil {
		return nil, err
	}
	m.kernelVariables(t, n)
	n.numa = t.numaNodes()
	m.data[btf] = t.b
	return n, nil
}

// hideEmptyExt takes a .BTF.ext without function info out of the reader's sight,
// which expects some. GCC writes such; libbpf loads without it.
func (m *image) hideEmptyExt() error {
	ext := m.find(".BTF.ext")
	if ext == 0 {
		return nil
	}
	b, err := m.section(ext)
	const funcInfoLen = 12 // offset in struct btf_ext_header
	if err != nil || len(b) < funcInfoLen+4 || le.Uint32(b[funcInfoLen:]) != 0 {
		return err
	}
	return m.rename(ext, ".BTF.ext.empty")
}

// layout gives data section types the size of their section and the offsets of
// their variables. Compilers may leave both to the loader, as GCC does; see
// btf_fixup_datasec in libbpf.
func (m *image) layout(t *types) {
	offsets := map[string]map[string]uint64{} // by section and variable
	for k := range m.syms {
		if s := &m.syms[k]; int(s.Shndx) < len(m.names) && delf.ST_TYPE(s.Info) == delf.STT_OBJECT {
			sec := m.names[s.Shndx]
			if offsets[sec] == nil {
				offsets[sec] = map[string]uint64{}
			}
			offsets[sec][m.symName(s)] = s.Value
		}
	}
	for id := range t.at {
		sec := m.find(t.name(id))
		if t.kind(id) != kindDatasec || t.word(id) != 0 || sec == 0 {
			continue
		}
		t.setWord(id, int(m.sh[sec].Size))
		for k, v := range t.members(id) {
			if off, ok := offsets[m.names[sec]][t.name(v)]; ok {
				t.setExtra(id, 3*k+1, int(off))
			}
		}
	}
}

// callbacks puts the places of functions whose addresses are loaded into the
// instructions: the reader goes by what stands there alone, libbpf adds it to the
// symbol's place.
func (m *image) callbacks() error {
	const rel64, lddw = 1, 0x18
	for sec := range m.sh {
		if !m.executable(sec) {
			continue
		}
		_, rels, err := m.relocations(sec)
		if err != nil {
			return err
		}
		code, err := m.section(sec)
		if err != nil {
			return err
		}
		code = bytes.Clone(code)
		for _, r := range rels {
			sym := int(delf.R_SYM64(r.Info))
			if delf.R_TYPE64(r.Info) != rel64 || sym >= len(m.syms) || len(code) < 8 || r.Off > uint64(len(code)-8) || code[r.Off] != lddw {
				continue
			}
			if s := &m.syms[sym]; delf.ST_TYPE(s.Info) == delf.STT_FUNC && m.executable(int(s.Shndx)) {
				imm := code[r.Off+4:]
				le.PutUint32(imm, le.Uint32(imm)+uint32(s.Value))
			}
		}
		m.data[sec] = code
	}
	return nil
}

// strengthen makes weak map definitions global: the reader wants maps global,
// and within one object a weak definition is the definition.
func (m *image) strengthen() {
	for k := range m.syms {
		s := &m.syms[k]
		if sec := int(s.Shndx); sec > 0 && sec < len(m.names) && (m.names[sec] == ".maps" || strings.HasPrefix(m.names[sec], "maps")) &&
			delf.ST_BIND(s.Info) == delf.STB_WEAK {
			s.Info = delf.ST_INFO(delf.STB_GLOBAL, delf.ST_TYPE(s.Info))
		}
	}
}

// uniqueNames renames static functions that share their name with another
// function, as happens in linked objects.
func (m *image) uniqueNames() error {
	seen := map[string]bool{}
	for pass := range 2 {
		for k := range m.syms {
			s := &m.syms[k]
			local := delf.ST_BIND(s.Info) == delf.STB_LOCAL
			if delf.ST_TYPE(s.Info) != delf.STT_FUNC || !m.executable(int(s.Shndx)) || local != (pass == 1) {
				continue
			}
			name := m.symName(s)
			if seen[name] {
				name = fmt.Sprintf("%s.%d", name, k)
				if err := m.renameSymbol(s, name); err != nil {
					return err
				}
			}
			seen[name] = true
		}
	}
	return nil
}

// structOps turns .struct_ops into .struct_ops.link, which the reader knows.
// The difference lies in attaching alone.
func (m *image) structOps(t *types) error {
	const old, known = ".struct_ops", ".struct_ops.link"
	sec, ds := m.find(old), t.datasec(old)
	if sec == 0 || ds == 0 {
		return nil
	}
	if m.find(known) != 0 {
		m.sh[sec].Type = uint32(delf.SHT_NOTE) // both: these programs remain unattached
		return nil
	}
	t.rename(ds, known)
	return m.rename(sec, known)
}

// hidden lists the symbols that linking made, or the source calls, hidden.
// libbpf treats these as static.
func (m *image) hidden() map[string]bool {
	out := map[string]bool{}
	for k := range m.syms {
		s := &m.syms[k]
		if v := delf.ST_VISIBILITY(s.Other); (v == delf.STV_HIDDEN || v == delf.STV_INTERNAL) && s.Shndx != uint16(delf.SHN_UNDEF) {
			out[m.symName(s)] = true
		}
	}
	return out
}

// probing reports whether the library would try a kprobe, which not every kernel
// allows, to find a configuration variable's value.
func (m *image) probing() bool {
	for k := range m.syms {
		if s := &m.syms[k]; s.Shndx == uint16(delf.SHN_UNDEF) && k > 0 && m.symName(s) == "LINUX_HAS_SYSCALL_WRAPPER" {
			return true
		}
	}
	return false
}

// hiddenFunctions makes hidden functions static, so that the kernel checks them
// with their callers.
func hiddenFunctions(t *types, hidden map[string]bool) {
	for id := range t.at {
		if t.kind(id) == kindFunc && hidden[t.name(id)] {
			t.b[t.at[id]+4], t.b[t.at[id]+5] = 0, 0 // linkage
		}
	}
}

// privateData renames .bss.NAME, which the reader does not know, to
// .data.bss.NAME, and notes which private sections user space may not map.
func (m *image) privateData(t *types, hidden map[string]bool, n *notes) error {
	for sec, name := range m.names {
		known := name
		if rest, ok := strings.CutPrefix(name, ".bss."); ok {
			known = ".data.bss." + rest
			if err := m.rename(sec, known); err != nil {
				return err
			}
		}
		ds := t.datasec(name)
		if ds == 0 || !strings.HasPrefix(known, ".data.") {
			continue
		}
		for _, v := range t.members(ds) {
			n.private[known] = n.private[known] || t.global(v) && !hidden[t.name(v)]
		}
		if known != name {
			t.rename(ds, known)
		}
	}
	return nil
}

// kconfig gives the external kernel configuration variables a section with
// their values. One that this kernel lacks stays as it is, so that only the
// programs that use it fail.
func (m *image) kconfig(t *types) error {
	ds := t.datasec(".kconfig")
	if ds == 0 {
		return nil
	}
	var data []byte
	at := map[string][2]int{} // offset, size
	for _, v := range t.members(ds) {
		name, weak := t.name(v), m.isWeak(t.name(v))
		b, err := configValue(t, t.word(v), name, weak)
		if err != nil {
			continue
		}
		for len(data)%8 != 0 {
			data = append(data, 0)
		}
		at[name] = [2]int{len(data), len(b)}
		data = append(data, b...)
	}
	if len(data) == 0 {
		return nil
	}
	sec, err := m.add(".rodata.kconfig", data)
	if err != nil {
		return err
	}
	for k := range m.syms {
		s := &m.syms[k]
		if p, ok := at[m.symName(s)]; ok && s.Shndx == uint16(delf.SHN_UNDEF) {
			s.Shndx, s.Value, s.Size = uint16(sec), uint64(p[0]), uint64(p[1])
			s.Info = delf.ST_INFO(delf.STB_GLOBAL, delf.STT_OBJECT)
		}
	}
	return nil
}

func (m *image) isWeak(name string) bool {
	for k := range m.syms {
		if s := &m.syms[k]; s.Shndx == uint16(delf.SHN_UNDEF) && m.symName(s) == name {
			return delf.ST_BIND(s.Info) == delf.STB_WEAK
		}
	}
	return false
}

// kernelVariables hides the types of external kernel variables and notes
// those that have one.
func (m *image) kernelVariables(t *types, n *notes) {
	ds := t.datasec(".ksyms")
	if ds == 0 {
		return
	}
	for _, v := range t.members(ds) {
		if t.kind(v) != kindVar {
			continue
		}
		if t.bare(t.word(v)) != 0 {
			n.ksyms[t.name(v)] = m.isWeak(t.name(v))
		}
		t.setWord(v, 0)
	}
}
