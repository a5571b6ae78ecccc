package relax

import (
	"bytes"
	delf "debug/elf"
	"fmt"
)

// exit is the instruction that unreached code is replaced with.
var exit = []byte{0x95, 0, 0, 0, 0, 0, 0, 0}

// Codes of instructions with operands in other functions (kernel/bpf: BPF_JMP
// | BPF_CALL with pseudo source 1, and the two-slot load).
const (
	opCall   = 0x85
	opLoad64 = 0x18
)

// prune leaves the code of a program and what it calls; all other functions
// become exits without relocations.
func (m *image) prune(program string) error {
	var root *delf.Sym64
	for k := range m.syms {
		s := &m.syms[k]
		if delf.ST_TYPE(s.Info) == delf.STT_FUNC && m.executable(int(s.Shndx)) && m.names[s.Shndx] != ".text" && m.symName(s) == program {
			root = s
		}
	}
	if root == nil {
		return fmt.Errorf("the object has no program %q", program)
	}
	keep := map[*delf.Sym64]bool{}
	if err := m.reach(root, keep); err != nil {
		return err
	}
	for sec := range m.sh {
		if !m.executable(sec) {
			continue
		}
		code, err := m.section(sec)
		if err != nil {
			return err
		}
		code = bytes.Clone(code)
		var dead [][2]uint64
		for k := range m.syms {
			s := &m.syms[k]
			if int(s.Shndx) != sec || delf.ST_TYPE(s.Info) != delf.STT_FUNC || keep[s] {
				continue
			}
			if s.Value > uint64(len(code)) || s.Size > uint64(len(code))-s.Value {
				return errDamaged
			}
			for p := s.Value; p+8 <= s.Value+s.Size; p += 8 {
				copy(code[p:], exit)
			}
			dead = append(dead, [2]uint64{s.Value, s.Value + s.Size})
		}
		m.data[sec] = code
		rs, rels, err := m.relocations(sec)
		if err != nil {
			return err
		}
		if rs == 0 {
			continue
		}
		var out []delf.Rel64
		for _, r := range rels {
			in := false
			for _, d := range dead {
				in = in || r.Off >= d[0] && r.Off < d[1]
			}
			if !in {
				out = append(out, r)
			}
		}
		m.data[rs] = encodeLE(out)
	}
	return nil
}

// reach marks a function and those that it calls or takes the address of.
func (m *image) reach(f *delf.Sym64, seen map[*delf.Sym64]bool) error {
	if f == nil || seen[f] {
		return nil
	}
	seen[f] = true
	code, err := m.section(int(f.Shndx))
	if err != nil {
		return err
	}
	if f.Value > uint64(len(code)) || f.Size > uint64(len(code))-f.Value {
		return errDamaged
	}
	_, rels, err := m.relocations(int(f.Shndx))
	if err != nil {
		return err
	}
	byOff := map[uint64]delf.Rel64{}
	for _, r := range rels {
		byOff[r.Off] = r
	}
	for p := f.Value; p+8 <= f.Value+f.Size; p += 8 {
		in := code[p:]
		imm := int64(int32(le.Uint32(in[4:])))
		r, ok := byOff[p]
		switch {
		case ok:
			no := int(delf.R_SYM64(r.Info))
			if no >= len(m.syms) {
				return errDamaged
			}
			s := &m.syms[no]
			to := int64(s.Value)
			if delf.ST_TYPE(s.Info) == delf.STT_SECTION {
				if to = imm; in[0] == opCall {
					to = 8 * (imm + 1)
				}
			}
			err = m.reach(m.functionAt(int(s.Shndx), to), seen)
		case in[0] == opCall && in[1]>>4 == 1:
			err = m.reach(m.functionAt(int(f.Shndx), int64(p)+8+8*imm), seen)
		}
		if err != nil {
			return err
		}
		if in[0] == opLoad64 {
			p += 8
		}
	}
	return nil
}

func (m *image) functionAt(sec int, off int64) *delf.Sym64 {
	if !m.executable(sec) {
		return nil
	}
	for k := range m.syms {
		if s := &m.syms[k]; int(s.Shndx) == sec && int64(s.Value) == off && delf.ST_TYPE(s.Info) == delf.STT_FUNC {
			return s
		}
	}
	return nil
}

// programs lists the names of the functions that are programs.
func (m *image) programs() []string {
	var out []string
	for k := range m.syms {
		s := &m.syms[k]
		if delf.ST_TYPE(s.Info) == delf.STT_FUNC && m.executable(int(s.Shndx)) && m.names[s.Shndx] != ".text" &&
			delf.ST_BIND(s.Info) != delf.STB_LOCAL {
			out = append(out, m.symName(s))
		}
	}
	return out
}

// missing names an external that another object must provide, empty if there
// is none.
func (m *image) missing() string {
	btf := m.find(".BTF")
	if btf == 0 {
		return ""
	}
	b, err := m.section(btf)
	if err != nil {
		return ""
	}
	t, err := readTypes(bytes.Clone(b))
	if err != nil {
		return ""
	}
	ext := map[string]bool{}
	for id := range t.at {
		if k := t.kind(id); k == kindDatasec && (t.name(id) == ".ksyms" || t.name(id) == ".kconfig") {
			for _, v := range t.members(id) {
				ext[t.name(v)] = true
			}
		}
	}
	for k := range m.syms {
		if s := &m.syms[k]; k > 0 && s.Shndx == uint16(delf.SHN_UNDEF) && !ext[m.symName(s)] && delf.ST_BIND(s.Info) == delf.STB_GLOBAL {
			return m.symName(s)
		}
	}
	return ""
}
