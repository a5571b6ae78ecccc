package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// maxExtension is how many instructions behind a load its sign may be extended.
const maxExtension = 8

// signedLoads loads with the sign what is only loaded to extend its sign.
func signedLoads(r *run) {
	if r.MCPU < 4 {
		return
	}
	for _, b := range r.cfg.Order {
		blk := r.cfg.Blocks[b]
		for j := blk.From; j < blk.To; j++ {
			in := &r.f.Insns[j]
			row := in.Row()
			st := r.vals.Before[j]
			if row.Kind != isa.KindLoad || row.Signed || row.Width == 64 || in.Frozen() || st == nil || st.Regs[in.Src] == 0 {
				continue
			}
			// The kernel rewrites accesses to contexts, and takes none with a sign.
			if k := r.vals.E.RegionOf(st.Regs[in.Src]).Kind; k == symex.Context || k == symex.Any {
				continue
			}
			r.signedLoad(j, min(blk.To, j+1+maxExtension))
		}
	}
}

// signedLoad makes the load at j a signed one if an instruction before to
// extends its sign, and nothing else has a use for it.
func (r *run) signedLoad(j, to int) {
	load := prog.New(r.f.Insns[j].Insn)
	load.Op = isa.Load(load.Row().Width, true)
	st := r.vals.Before[j].Clone()
	if _, err := r.vals.E.Step(st, &load); err != nil {
		return
	}
	goal := st.Regs[load.Dst]
	derived := isa.Regs(load.Dst) // registers that hold something made of the load
	var chain []int
	for k := j + 1; k < to; k++ {
		in := &r.f.Insns[k]
		if in.Use()&derived == 0 {
			if in.Def()&derived != 0 {
				return
			}
			continue
		}
		if !plain(in) || in.Row().Kind != isa.KindALU || in.Use()&^derived != 0 {
			return
		}
		chain = append(chain, k)
		derived |= in.Def()
		if t, ok := r.result(k); !ok || t != goal {
			continue
		}
		if r.live.After[k]&derived&^isa.Regs(in.Dst) != 0 || !r.ok(j, "loaded with its sign: %s", text(&r.f.Insns[j])) {
			return
		}
		r.set(j, load.Insn)
		for _, c := range chain {
			r.nop(c)
		}
		if in.Dst != load.Dst {
			r.set(k, movReg(in.Dst, load.Dst))
		}
		return
	}
}
