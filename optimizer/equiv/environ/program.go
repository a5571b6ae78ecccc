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
}

// Options say how functions are run.
type Options struct {
	// Reads gives the argument registers that a call to another function may
	// read, if known; nil: it is never known.
	Reads func(*prog.Insn) (isa.RegSet, bool)
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

func (p *Program) name(r *prog.Ref) uint64 { return p.names[r] }
