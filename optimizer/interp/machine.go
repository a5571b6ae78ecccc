package interp

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Errors of Load and Run; returned errors wrap one of them.
var (
	// ErrUnsupported: the program needs something that has no concrete model.
	ErrUnsupported = errors.New("not supported by the interpreter")
	// ErrFault: an access outside all regions. A program that the kernel's
	// checker accepted never faults.
	ErrFault = errors.New("memory fault")
	// ErrSteps: the step limit was reached.
	ErrSteps = errors.New("step limit reached")
)

// DefaultSteps bounds the instructions of one run, and so the time of a test.
const DefaultSteps = 4 << 20

// inst is a prepared instruction.
type inst struct {
	imm, off uint64
	target   int32
	op       uint16
	dst, src uint8
}

type stop uint8

const (
	stopCall stop = iota
	stopFault
	stopSteps
)

type cpu struct {
	r [16]uint64
	memory
	steps  int
	counts []uint64
}

// Program is a program made ready to run on one Machine.
type Program struct {
	Entry *prog.Func
	code  []inst
	src   []prog.Insn
	base  map[string]int // function name to first instruction
	sizes map[string]int
}

// Machine runs programs. It keeps its memory between runs, so one machine
// serves one goroutine.
type Machine struct {
	// Steps is the limit of instructions in one run.
	Steps int
	// NoMaps leaves what maps hold out of outcomes: for runs that are only counted.
	NoMaps bool
	// Reference makes the machine walk the terms of isa instead of the
	// generated code: slow, for tests.
	Reference bool
	// Hook, if set, is called before each instruction with the global index
	// that Program.Index gives. It makes runs slow.
	Hook func(pc int, regs *[16]uint64)

	cpu
	ctx    context
	p      *Program
	in     *Input
	maps   map[string]*mapState
	byID   []*mapState
	frames []frame
	calls  map[int32]uint64 // how often each helper ran
	trace  []Event
	tail   bool
	clock  uint64
}

type frame struct {
	ret   int
	saved [5]uint64 // r6 to r10
}

const (
	handleBase = 0xffff_9900_0000_0000 // maps, by number
	funcBase   = 0xffff_aa00_0000_0000 // callbacks, by instruction
)

// New makes a machine.
func New() *Machine {
	m := &Machine{Steps: DefaultSteps, maps: map[string]*mapState{}, calls: map[int32]uint64{}}
	m.data = make([][]byte, regMaps)
	m.data[regPacket] = []byte{}
	for k := range maxFrames {
		m.data[regStack+k] = make([]byte, isa.StackSize)
	}
	m.memory.ctx = &m.ctx
	return m
}

// Load prepares a program; funcs holds its subprograms by name. The machine
// copies what it needs, so f may change afterwards.
func (m *Machine) Load(f *prog.Func, funcs map[string]*prog.Func) (*Program, error) {
	p := &Program{Entry: f, base: map[string]int{}, sizes: map[string]int{}}
	todo := []*prog.Func{f}
	p.base[f.Name] = 0
	p.sizes[f.Name] = len(f.Insns)
	next := len(f.Insns)
	for len(todo) > 0 {
		f := todo[0]
		todo = todo[1:]
		if f.Unsupported != "" {
			return nil, fmt.Errorf("%s: %s: %w", f.Name, f.Unsupported, ErrUnsupported)
		}
		base := len(p.code)
		for _, in := range f.Insns {
			c := inst{imm: uint64(in.Imm), off: uint64(int64(in.Off)), op: uint16(in.Op), dst: uint8(in.Dst), src: uint8(in.Src)}
			if in.Target >= 0 {
				c.target = int32(base + in.Target)
			}
			row := in.Row()
			if r := in.Ref; r != nil {
				switch {
				case r.Map != nil && row.Kind == isa.KindLoadImm:
					s, err := m.mapState(r.Map)
					if err != nil {
						return nil, err
					}
					c.imm = handleBase + uint64(s.region-regMaps)<<12
					if r.Kind != prog.RefMap {
						c.imm = regionAddr(s.region) + uint64(r.Off)
					}
				case r.Kind == prog.RefFunc:
					g := funcs[r.Name]
					if g == nil {
						c.op = 0
						break
					}
					if _, known := p.base[g.Name]; !known {
						p.base[g.Name], p.sizes[g.Name] = next, len(g.Insns)
						next += len(g.Insns)
						todo = append(todo, g)
					}
					c.target = int32(p.base[g.Name])
					c.imm = funcBase + uint64(p.base[g.Name])
				case r.Kind != prog.RefCORE:
					c.op = 0
				}
			} else if row.Kind == isa.KindLoadImm && row.Form != 0 || row.Kind == isa.KindCallFunc {
				c.op = 0
			}
			p.code = append(p.code, c)
			p.src = append(p.src, in)
		}
	}
	return p, nil
}

// Index returns the global index of a function's instruction, for Hook and
// Profile; -1 when the program has no such function.
func (p *Program) Index(fn string, insn int) int {
	b, ok := p.base[fn]
	if !ok || insn >= p.sizes[fn] {
		return -1
	}
	return b + insn
}

// Counts cuts a profile to the instructions of one function.
func (p *Program) Counts(profile []uint64, fn string) []uint64 {
	b, ok := p.base[fn]
	if !ok {
		return nil
	}
	return profile[b : b+p.sizes[fn]]
}

// Profile makes runs of p count each instruction in the returned slice until it
// is called again; nil p ends counting.
func (m *Machine) Profile(p *Program) []uint64 {
	m.counts = nil
	if p != nil {
		m.counts = make([]uint64, len(p.code))
	}
	return m.counts
}

// mapState finds the state of a map. Programs on one machine share the maps of
// equal names, so these must have equal definitions.
func (m *Machine) mapState(def *prog.Map) (*mapState, error) {
	s := m.maps[def.Name]
	if s != nil {
		d := s.def
		if d.Type != def.Type || d.KeySize != def.KeySize || d.ValueSize != def.ValueSize || d.MaxEntries != def.MaxEntries || !bytes.Equal(d.Data, def.Data) {
			return nil, fmt.Errorf("map %s differs from that of another program on this machine", def.Name)
		}
	} else {
		s = newMap(def, len(m.data))
		m.data = append(m.data, nil)
		m.maps[def.Name] = s
		m.byID = append(m.byID, s)
	}
	return s, nil
}

// Run runs a program that Load prepared on this machine.
func (m *Machine) Run(p *Program, in *Input) (Outcome, error) {
	m.p, m.in, m.tail, m.trace = p, in, false, nil
	m.ctx.init(p.Entry.Type, in)
	n := headroom + len(in.Packet) + tailroom
	if cap(m.data[regPacket]) < n {
		m.data[regPacket] = make([]byte, n)
	}
	m.data[regPacket] = m.data[regPacket][:n]
	clear(m.data[regPacket])
	copy(m.data[regPacket][headroom:], in.Packet)
	clear(m.data[regStack])
	for _, s := range m.byID {
		s.reset(&m.memory, in.Maps[s.def.Name])
	}
	clear(m.calls)
	m.clock = mix(in.Seed, 0x636c6f636b) >> 16
	m.frames = m.frames[:0]
	m.steps = m.Steps
	for k := range m.r {
		m.r[k] = mix(in.Seed, uint64(k)) // never read by an accepted program
	}
	m.r[1] = regionAddr(regCtx)
	copy(m.r[1:6], in.Args)
	m.r[10] = regionAddr(regStack) + isa.StackSize
	err := m.run(0)
	if err != nil {
		return Outcome{}, err
	}
	return m.outcome(), nil
}

// run executes from pc to the exit of the current frame.
func (m *Machine) run(pc int) error {
	depth := len(m.frames)
	for {
		var why stop
		if m.Reference || m.Hook != nil {
			pc, why = m.slow(pc)
		} else {
			pc, why = m.exec(m.p.code, pc)
		}
		switch why {
		case stopFault:
			return m.failed(pc, ErrFault)
		case stopSteps:
			return m.failed(pc, ErrSteps)
		}
		c, in := &m.p.code[pc], &m.p.src[pc]
		row := in.Row()
		if c.op == 0 {
			return m.failed(pc, ErrUnsupported)
		}
		switch row.Kind {
		case isa.KindExit:
			if len(m.frames) == depth {
				return nil
			}
			pc = m.leave()
			continue
		case isa.KindCallFunc:
			if err := m.enter(pc + 1); err != nil {
				return m.failed(pc, err)
			}
			pc = int(c.target)
			continue
		case isa.KindCallHelper:
			if err := m.call(int32(in.Imm)); err != nil {
				return m.failed(pc, err)
			}
			if m.tail {
				return nil
			}
		case isa.KindMayGoto: // the budget of a run is far below the kernel's
		case isa.KindLoadPacket:
			if !m.loadPacket(row, c) {
				m.r[0] = 0 // what the function returns that it is in
				if len(m.frames) == depth {
					return nil
				}
				pc = m.leave()
				continue
			}
		default:
			return m.failed(pc, ErrUnsupported)
		}
		pc++
	}
}

func (m *Machine) failed(pc int, err error) error {
	return fmt.Errorf("%s: instruction %d (%s): %w", m.p.Entry.Name, pc, m.p.src[pc].Row().Name, err)
}

// enter makes a frame; ret is where the function returns to.
func (m *Machine) enter(ret int) error {
	if len(m.frames)+1 >= maxFrames {
		return fmt.Errorf("more than %d frames: %w", maxFrames, ErrFault)
	}
	f := frame{ret: ret}
	copy(f.saved[:], m.r[6:11])
	m.frames = append(m.frames, f)
	clear(m.data[regStack+len(m.frames)])
	m.r[10] = regionAddr(regStack+len(m.frames)) + isa.StackSize
	return nil
}

// leave drops a frame and returns where to go on.
func (m *Machine) leave() int {
	f := m.frames[len(m.frames)-1]
	m.frames = m.frames[:len(m.frames)-1]
	copy(m.r[6:11], f.saved[:])
	m.clobber()
	return f.ret
}

// clobber gives the argument registers values that nobody should read.
func (m *Machine) clobber() {
	for k := 1; k <= 5; k++ {
		m.r[k] = mix(uint64(m.steps), uint64(k)) | 1<<63
	}
}

// callback calls a function from within a helper.
func (m *Machine) callback(f uint64, args ...uint64) (uint64, error) {
	if f < funcBase || f-funcBase >= uint64(len(m.p.code)) {
		return 0, ErrFault
	}
	if err := m.enter(0); err != nil {
		return 0, err
	}
	copy(m.r[1:6], args)
	err := m.run(int(f - funcBase))
	m.leave()
	return m.r[0], err
}

// loadPacket is LD_ABS and LD_IND: big-endian packet bytes, or false beyond
// the packet's end.
func (m *Machine) loadPacket(row *isa.Row, c *inst) bool {
	o := int64(int32(c.imm))
	if !row.Imm {
		o += int64(int32(m.r[c.src]))
	}
	n := uint64(row.Width / 8)
	if o < 0 || uint64(o)+n > m.ctx.end-m.ctx.data {
		return false
	}
	v := uint64(0)
	for _, b := range m.data[regPacket][m.ctx.data+uint64(o):][:n] {
		v = v<<8 | uint64(b)
	}
	m.r[0] = v
	m.clobber()
	return true
}

// mix hashes two words (the finalizer of splitmix64).
func mix(a, b uint64) uint64 {
	z := a + 0x9e3779b97f4a7c15*(b+1)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
