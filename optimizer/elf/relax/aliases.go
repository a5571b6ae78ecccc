package relax

import delf "debug/elf"

// aliases finds the functions that are another's by a second name: by symbol
// number, the first symbol of the same place and size.
func (m *image) aliases() map[int]int {
	type place struct {
		sec        uint16
		from, size uint64
	}
	first, out := map[place]int{}, map[int]int{}
	for k := range m.syms {
		s := &m.syms[k]
		if delf.ST_TYPE(s.Info) != delf.STT_FUNC || s.Size == 0 || !m.executable(int(s.Shndx)) {
			continue
		}
		p := place{s.Shndx, s.Value, s.Size}
		if f, ok := first[p]; ok {
			out[k] = f
		} else {
			first[p] = k
		}
	}
	return out
}

// oneName takes second names away, which confuse the reader: what referred to one
// refers to the first.
func (m *image) oneName() error {
	alias := m.aliases()
	if len(alias) == 0 {
		return nil
	}
	for sec := range m.sh {
		at, rels, err := m.relocations(sec)
		if err != nil {
			return err
		}
		changed := false
		for k := range rels {
			if to, ok := alias[int(delf.R_SYM64(rels[k].Info))]; ok {
				rels[k].Info = delf.R_INFO(uint32(to), delf.R_TYPE64(rels[k].Info))
				changed = true
			}
		}
		if changed {
			m.data[at] = encodeLE(rels)
		}
	}
	for k := range alias {
		s := &m.syms[k]
		s.Info = delf.ST_INFO(delf.STB_LOCAL, delf.STT_NOTYPE) // a label
	}
	return nil
}
