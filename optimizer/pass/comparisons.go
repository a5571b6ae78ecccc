package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxPrepared is the longest preparation of a comparison that is looked at.
const maxPrepared = 4

// comparisons folds what prepares a comparison into the comparison: masks into
// a bit test, additions into the immediate, extensions into its width.
func comparisons(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindCondJump || in.Frozen() || r.vals.Cond[k] == 0 || r.vals.Before[k] == nil {
			continue
		}
		from := r.cfg.Blocks[r.cfg.BlockOf[k]].From
		for p := max(from, k-maxPrepared); p < k; p++ {
			if r.comparison(p, k) {
				break
			}
		}
	}
}

// comparison replaces [p,k] by one conditional jump, if one decides the same.
func (r *run) comparison(p, k int) bool {
	var written, read isa.RegSet
	for i := p; i < k; i++ {
		in := &r.f.Insns[i]
		if !plain(in) || in.Op == isa.Nop || in.Ref != nil || in.Row().Kind != isa.KindALU {
			return false
		}
		read |= in.Use() &^ written
		written |= in.Def()
	}
	if written&r.live.After[k] != 0 {
		return false
	}
	st := r.vals.Before[p]
	imms := r.immediates(p, k+1)
	for _, row := range isa.Rows() {
		if row.Kind != isa.KindCondJump || int(row.MinCPU) > r.MCPU || !row.Imm {
			continue
		}
		for x := isa.R0; x < isa.FP; x++ {
			if !read.Has(x) || st.Regs[x] == 0 {
				continue
			}
			for _, v := range imms {
				n := prog.New(isa.Insn{Op: row.Op, Dst: x, Imm: v})
				n.Target = r.f.Insns[k].Target
				cond, err := r.vals.E.Step(st.Clone(), &n)
				if err != nil || cond != r.vals.Cond[k] {
					continue
				}
				if !r.ok(k, "%d instructions test what %s does", k-p+1, text(&n)) {
					return true
				}
				for i := p; i < k; i++ {
					r.nop(i)
				}
				target := r.g.Insns[k].Target
				r.set(k, n.Insn)
				r.g.Insns[k].Target = target
				return true
			}
		}
	}
	return false
}
