package environ

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Program is a function made ready to run.
type Program struct {
	F     *prog.Func
	names map[*prog.Ref]uint64
	maps  map[uint64]*prog.Map // by the number that stands for their address
	// unseen: calls that nobody can see, by instruction.
	unseen map[int]bool
	start  isa.RegSet   // the registers that hold something at entry
	live   []isa.RegSet // before each instruction; nil: no poison
	o      Options
	bodies map[string]*Program // of functions that are entered, by name
}

// Options say how functions are run.
type Options struct {
	// Reads gives the argument registers that a call to another function may
	// read, if known; nil: it is never known.
	Reads func(*prog.Insn) (isa.RegSet, bool)
	// Enter are functions whose bodies are run where they are called. Those they call
	// are not.
	Enter []*prog.Func
	// PlainAtomics: an atomic operation that returns nothing may stand for a plain
	// one, but not the reverse.
	PlainAtomics bool
	// Poison puts something else into every register that package prog calls dead,
	// at every step: nobody may notice.
	Poison bool
}

// Prepare makes f ready to run.
func Prepare(f *prog.Func, o Options) *Program {
	p := &Program{F: f, names: map[*prog.Ref]uint64{}, maps: map[uint64]*prog.Map{}, o: o}
	inner := o
	inner.Enter = nil
	for _, g := range o.Enter {
		if p.bodies == nil {
			p.bodies = map[string]*Program{}
		}
		body := *g
		body.Type = f.Type // it has the same context
		p.bodies[g.Name] = Prepare(&body, inner)
	}
	p.start = isa.ArgRegs.With(isa.FP) // a subprogram's arguments are not always those of its type
	if f.Entry && f.Type != prog.TypeExt {
		p.start = isa.RegSet(0).With(isa.R1).With(isa.FP)
	}
	var live *prog.Liveness
	for k := range f.Insns {
		in := &f.Insns[k]
		if r := in.Ref; r != nil {
			if _, ok := p.names[r]; !ok {
				p.names[r] = name(r.Name)
			}
			if r.Kind == prog.RefMap {
				p.maps[symbolsAt+p.names[r]] = r.Map
			}
		}
		if in.Row().Kind == isa.KindCallHelper && isa.HelperOf(int32(in.Imm)).Droppable() {
			if live == nil {
				live = prog.NewLiveness(prog.NewCFG(f))
			}
			if !live.After[k].Has(isa.R0) {
				if p.unseen == nil {
					p.unseen = map[int]bool{}
				}
				p.unseen[k] = true
			}
		}
	}
	if o.Poison {
		if live == nil {
			live = prog.NewLiveness(prog.NewCFG(f))
		}
		p.live = live.Before
	}
	return p
}

// body is the function that is entered at an instruction, nil for none.
func (p *Program) body(in *prog.Insn) *Program {
	if p.bodies == nil || in.Row().Kind != isa.KindCallFunc || in.Ref == nil {
		return nil
	}
	return p.bodies[in.Ref.Name]
}

func (p *Program) name(r *prog.Ref) uint64 { return p.names[r] }
