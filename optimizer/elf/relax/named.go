package relax

import (
	delf "debug/elf"
	"fmt"

	"github.com/cilium/ebpf"
)

// CheckType returns an error if programs in a section of that name have no type.
// The library's table of names is its own: what it makes of an object with one
// program in such a section tells.
func CheckType(section string) error {
	m := &image{raw: make([]byte, 64), data: map[int][]byte{}, hdr: delf.Header64{
		Type: uint16(delf.ET_REL), Machine: uint16(delf.EM_BPF), Version: uint32(delf.EV_CURRENT), Ehsize: 64, Shentsize: 64, Shstrndx: 1}}
	copy(m.hdr.Ident[:], delf.ELFMAG)
	m.hdr.Ident[delf.EI_CLASS], m.hdr.Ident[delf.EI_DATA], m.hdr.Ident[delf.EI_VERSION] = byte(delf.ELFCLASS64), byte(delf.ELFDATA2LSB), byte(delf.EV_CURRENT)
	const strings, code, symbols = 1, 2, 3
	const text = "\x00strings\x00program\x00" // names of sections and symbols
	m.sh = []delf.Section64{{},
		{Name: 1, Type: uint32(delf.SHT_STRTAB), Addralign: 1},
		{Type: uint32(delf.SHT_PROGBITS), Flags: uint64(delf.SHF_ALLOC | delf.SHF_EXECINSTR), Addralign: 8},
		{Name: 1, Type: uint32(delf.SHT_SYMTAB), Link: strings, Info: 1, Addralign: 8, Entsize: 24}}
	m.names = []string{"", "strings", "", "strings"}
	m.data[strings] = []byte(text)
	m.data[code] = []byte{0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0} // r0 = 0; exit
	m.symtab = symbols
	m.syms = []delf.Sym64{{}, {Name: 9, Info: delf.ST_INFO(delf.STB_GLOBAL, delf.STT_FUNC), Shndx: code, Size: 16}}
	if err := m.rename(code, section); err != nil {
		return err
	}
	spec, err := m.load()
	if err != nil {
		return err
	}
	if p := spec.Programs["program"]; p == nil || p.Type == ebpf.UnspecifiedProgram {
		return fmt.Errorf("no program type goes by the section name %q; xdp, tc, kprobe, cgroup_skb/ingress and others do", section)
	}
	return nil
}
