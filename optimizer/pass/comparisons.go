package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
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
	n, ok := r.test(p, k, read, r.vals.Cond[k])
	if ok {
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
	return r.otherWay(p, k, read)
}

// test finds a conditional jump on what registers hold before instruction p that
// is taken if cond holds.
func (r *run) test(p, k int, read isa.RegSet, cond smt.Term) (prog.Insn, bool) {
	st := r.vals.Before[p]
	imms := r.immediates(p, k+1)
	for _, row := range isa.Rows() {
		if row.Kind != isa.KindCondJump || int(row.MinCPU) > r.MCPU {
			continue
		}
		for x := isa.R0; x < isa.FP; x++ {
			if !read.Has(x) || st.Regs[x] == 0 {
				continue
			}
			decides := func(in isa.Insn) (prog.Insn, bool) {
				n := prog.New(in)
				n.Target = r.f.Insns[k].Target
				if !r.vals.E.Gives(st, &n, cond) {
					return n, false
				}
				got, err := r.vals.E.Step(st.Clone(), &n)
				return n, err == nil && got == cond
			}
			if row.Imm {
				for _, v := range imms {
					if n, ok := decides(isa.Insn{Op: row.Op, Dst: x, Imm: v}); ok {
						return n, true
					}
				}
				continue
			}
			for y := isa.R0; y < isa.FP; y++ {
				if y == x || !read.Has(y) || st.Regs[y] == 0 {
					continue
				}
				if n, ok := decides(isa.Insn{Op: row.Op, Dst: x, Src: y}); ok {
					return n, true
				}
			}
		}
	}
	return prog.Insn{}, false
}

// otherWay replaces [p,k] by a jump that is taken where the one at k is not, if
// only that can be tested at once: whether bits are set, but not whether they are
// clear. What then falls through has to jump, as it may do already.
func (r *run) otherWay(p, k int, read isa.RegSet) bool {
	if k+2 >= len(r.f.Insns) {
		return false
	}
	next := &r.f.Insns[k+1]
	jumps := next.Row().Kind == isa.KindJump && r.lonely(k+1)
	if !jumps && k-p < 2 {
		return false // nothing to gain
	}
	n, ok := r.test(p, k, read, r.vals.C.Not(r.vals.Cond[k]))
	if _, both := inverse[n.Row().Fn]; !ok || both || !r.ok(k, "%d instructions test what %s does the other way round", k-p+1, text(&n)) {
		return ok && !both
	}
	for i := p; i < k; i++ {
		r.nop(i)
	}
	jump := r.at(k, isa.Insn{Op: isa.Ja})
	n.Origin, jump.Target = r.f.Insns[k].Origin, r.f.Insns[k].Target
	if jumps {
		n.Target = next.Target
		r.g.Insns[k], r.g.Insns[k+1] = n, jump
		return true
	}
	n.Target = k + 1
	r.replaceLater(k, n, jump)
	return true
}
