package search

import (
	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
)

// machine runs straight-line code on a block of test states in lockstep.
type machine struct {
	regs [isa.NumRegs]interp.Lanes
	mem  memory
}

// memory is unbounded: a byte never written is a hash of its address, so that
// any load gives something and different addresses differ.
type memory struct {
	seed   interp.Lanes
	stores []store
}

// store is what one instruction wrote in each state.
type store struct {
	addr, val interp.Lanes
	bytes     uint64
}

func (m *memory) byte(lane int, addr uint64) byte {
	for i := len(m.stores) - 1; i >= 0; i-- {
		s := &m.stores[i]
		if at := addr - s.addr[lane]; at < s.bytes {
			return byte(s.val[lane] >> (8 * at))
		}
	}
	x := (addr ^ m.seed[lane]) * 0x9e3779b97f4a7c15
	return byte(x >> 56)
}

func (m *memory) load(lane int, addr uint64, n int) uint64 {
	var v uint64
	for i := n - 1; i >= 0; i-- {
		v = v<<8 | uint64(m.byte(lane, addr+uint64(i)))
	}
	return v
}

func low(v uint64, w uint8) uint64 {
	if w >= 64 {
		return v
	}
	return v & (1<<w - 1)
}

func signed(v uint64, w uint8) int64 { return int64(v<<(64-w)) >> (64 - w) }

// start puts the machine in front of a test block.
func (m *machine) start(b *block) {
	m.regs = b.in
	m.mem.seed, m.mem.stores = b.seed, m.mem.stores[:0]
}

// run executes code; it must hold only what windows hold. It returns the
// number of instructions executed, no-ops aside.
func (m *machine) run(code []isa.Insn) (n int) {
	for k := range code {
		in := &code[k]
		if in.Op == isa.Nop {
			continue
		}
		n++
		d, s := &m.regs[in.Dst], &m.regs[in.Src]
		if interp.Lockstep(in.Op, uint64(in.Imm), d, s, d) {
			continue
		}
		row := in.Row()
		off := uint64(int64(in.Off))
		switch row.Kind {
		case isa.KindLoad:
			for i := range s {
				v := m.mem.load(i, s[i]+off, int(row.Width/8))
				if row.Signed {
					v = uint64(signed(v, row.Width))
				}
				d[i] = v
			}
		case isa.KindStore:
			st := store{bytes: uint64(row.Width / 8)}
			for i := range d {
				st.addr[i] = d[i] + off
				if st.val[i] = s[i]; row.Imm {
					st.val[i] = uint64(in.Imm)
				}
			}
			m.mem.stores = append(m.mem.stores, st)
		}
	}
	return n
}
