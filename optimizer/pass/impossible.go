package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// impossible sends ways that control never takes, but that the kernel wants to
// see, to an end that the function has anyway: the NULL of an array's lookup by a
// key that is in range, which the kernel's checker does not remember. The code
// that was there for it is gone then.
func impossible(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindCondJump || in.Frozen() || r.vals.Before[k] == nil {
			continue
		}
		taken, known := r.vals.Decided(k)
		if !known {
			continue
		}
		op, dead := in.Insn, in.Target
		if taken {
			fn, ok := r.inverse(in)
			if !ok {
				continue
			}
			op.Op, dead = isa.CondJump(fn, in.Row().Width, in.Row().Imm), k+1
		}
		if dead >= len(r.f.Insns) || r.vals.Before[dead] != nil {
			continue // others come there
		}
		for _, end := range r.ends(k) {
			if !r.ok(k, "never: goes to the end at %d: %s", end, text(in)) {
				continue
			}
			r.set(k, op)
			r.g.Insns[k].Target = end
			if taken {
				jump := prog.New(isa.Insn{Op: isa.Ja})
				jump.Target = in.Target
				r.later(k+1, jump)
			}
			break
		}
	}
}

// ends lists the places that lead to an exit, in code that runs, and need no
// register but what there is at the jump k: first those that set the result.
func (r *run) ends(k int) []int {
	var out, bare []int
	for x := range r.f.Insns {
		if r.f.Insns[x].Row().Kind != isa.KindExit || r.vals.Before[x] == nil {
			continue
		}
		switch p := x - 1; {
		case p >= 0 && plain(&r.f.Insns[p]) && r.vals.Before[p] != nil && r.f.Insns[p].Def().Has(isa.R0) && r.live.Before[p]&^r.live.Before[k] == 0:
			out = append(out, p)
		case r.live.Before[k].Has(isa.R0):
			bare = append(bare, x)
		}
	}
	return append(out, bare...)
}
