package calibrate

import (
	"encoding/binary"
	"errors"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// program builds a probe's code; fd is its map's.
func (p *probe) program(fd int) ([]byte, error) {
	var c code
	begin(&c, p.xdp)
	for i := range p.n {
		p.body(&c, i)
	}
	end := len(c.insns)
	c.add(asm("r0 = 0", "exit")...)
	sub := len(c.insns)
	c.add(p.sub...)
	for k := range c.insns {
		if c.to[k] == toSub {
			c.to[k] = sub
		}
		if c.insns[k].Row().Form == isa.FormMapFD {
			c.insns[k].Imm = int64(fd)
		}
	}
	return c.bytes(end)
}

// subject makes a probe loadable; each instance has a map of its own.
func subject(p *probe) measure.Subject {
	return measure.Subject{Name: p.key, Hash: p.key, Load: func() (*measure.Instance, error) {
		var m *loader.RawMap
		fd := -1
		for _, t := range p.maps {
			var err error
			if m, err = newMap(t); err != nil {
				return nil, err
			}
			fd = m.FD()
		}
		closeMap := func() error {
			if m == nil {
				return nil
			}
			return m.Close()
		}
		raw, err := p.program(fd)
		if err != nil {
			return nil, errors.Join(err, closeMap())
		}
		typ := prog.TypeSchedCLS
		if p.xdp {
			typ = prog.TypeXDP
		}
		l, err := loader.LoadRaw(uint32(typ), raw, loader.RawOptions{Name: "calibrate"})
		if err != nil {
			return nil, errors.Join(err, closeMap())
		}
		return &measure.Instance{FD: l.FD(), Close: func() error { return errors.Join(l.Close(), closeMap()) }}, nil
	}}
}

// newMap makes a map that holds an element with a zero key, if its type has
// keys.
func newMap(t prog.MapType) (_ *loader.RawMap, err error) {
	switch t {
	case prog.MapProgArray, prog.MapPerfEvent, prog.MapCPUMap, prog.MapXSKMap:
		return loader.NewRawMap(uint32(t), 4, 4, 4)
	case prog.MapDevMap, prog.MapDevMapHash:
		m, err := loader.NewRawMap(uint32(t), 4, 4, 4)
		if err != nil {
			return nil, err
		}
		loopback := binary.NativeEndian.AppendUint32(nil, 1) // its index in any namespace
		if err := m.Update(make([]byte, 4), loopback); err != nil {
			return nil, errors.Join(err, m.Close())
		}
		return m, nil
	case prog.MapQueue, prog.MapStack:
		m, err := loader.NewRawMap(uint32(t), 0, 8, 4)
		if err != nil {
			return nil, err
		}
		if err := m.Update(nil, make([]byte, 8)); err != nil {
			return nil, errors.Join(err, m.Close())
		}
		return m, nil
	}
	key, flags := 4, uint32(0)
	if t == prog.MapLPMTrie {
		key, flags = 8, loader.NoPrealloc
	}
	m, err := loader.NewRawMapFlags(uint32(t), key, 8, 1024, flags)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	// A program fills it: that works for values on each CPU as well.
	var c code
	begin(&c, false)
	h, _ := isa.HelperByName("map_update_elem")
	c.add(isa.Insn{Op: isa.ByName("lddw_map_fd"), Dst: isa.R1, Imm: int64(m.FD())})
	c.add(asm("r2 = r10", "r2 += -72", "r3 = r10", "r3 += -64", "r4 = 0")...)
	c.add(isa.Insn{Op: isa.Call, Imm: int64(h.ID)})
	c.add(asm("r0 = 0", "exit")...)
	raw, err := c.bytes(0)
	if err != nil {
		return nil, err
	}
	p, err := loader.LoadRaw(uint32(prog.TypeSchedCLS), raw, loader.RawOptions{Name: "fill"})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	run := loader.TestRun{Prog: p.FD(), Data: binary.BigEndian.AppendUint64(make([]byte, 56), 0)}
	return m, run.Run()
}
