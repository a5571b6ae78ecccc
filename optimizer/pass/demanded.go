package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Demanded gives, for each register after each instruction, the bits whose
// value may still matter.
func Demanded(g *prog.CFG) [][isa.NumRegs]uint64 {
	r := &run{f: g.Func, cfg: g}
	out := make([][isa.NumRegs]uint64, len(g.Func.Insns))
	for k, d := range r.demand() {
		out[k] = d
	}
	return out
}
