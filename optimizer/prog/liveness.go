package prog

import "github.com/superbpf/superbpf/optimizer/isa"

// Liveness tells which registers may still be read.
type Liveness struct {
	// Before and After hold the live registers at the program points around
	// each instruction.
	Before, After []isa.RegSet
}

// NewLiveness solves register liveness for f.
func NewLiveness(g *CFG) *Liveness {
	f := g.Func
	n := len(f.Insns)
	l := &Liveness{Before: make([]isa.RegSet, n), After: make([]isa.RegSet, n)}
	for changed := true; changed; {
		changed = false
		for i := len(g.Order) - 1; i >= 0; i-- {
			b := &g.Blocks[g.Order[i]]
			var live isa.RegSet
			for _, s := range b.Succs {
				live |= l.Before[g.Blocks[s].From]
			}
			for k := b.To - 1; k >= b.From; k-- {
				in := &f.Insns[k]
				l.After[k] = live
				live = live&^in.Def() | in.Use()
				if l.Before[k] != live {
					l.Before[k] = live
					changed = true
				}
			}
		}
	}
	return l
}

// Reads gives the argument registers that a function may read. Its code says
// so, not its type: the compiler may have changed a static function's
// arguments. A global function may be replaced in the kernel by another one of
// its type, which may read what this one does not. One whose code could not be
// decoded may read all of them.
func Reads(f *Func) isa.RegSet {
	if len(f.Insns) == 0 {
		return isa.ArgRegs
	}
	s := NewLiveness(NewCFG(f)).Before[0] & isa.ArgRegs
	for r := isa.R1; f.Global && r < isa.R1+isa.Reg(f.NumArgs); r++ {
		s = s.With(r)
	}
	return s
}
