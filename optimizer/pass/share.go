package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxShared bounds the instructions that are compared.
const maxShared = 64

// share lets jumps to equal code go to one copy of it: the last, so that
// control keeps going forward. Copies without a way in then disappear.
func share(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Target < 0 || in.Row().Kind == isa.KindMayGoto || !r.cfg.Reachable(k) {
			continue
		}
		for u := len(r.f.Insns) - 1; u > in.Target; u-- {
			if r.cfg.Reachable(u) && r.sameUntilEnd(in.Target, u) {
				if r.ok(k, "goes to the copy at %d: %s", u, text(in)) {
					r.g.Insns[k].Target = u
				}
				break
			}
		}
	}
}

// sameUntilEnd: the code at a and at b is the same up to an exit or jump.
func (r *run) sameUntilEnd(a, b int) bool {
	for i := range maxShared {
		if a+i >= len(r.f.Insns) || b+i >= len(r.f.Insns) {
			return false
		}
		x, y := &r.f.Insns[a+i], &r.f.Insns[b+i]
		if x.Insn != y.Insn || x.Ref != y.Ref || x.Target != y.Target || x.Ref != nil && x.Ref.Kind == prog.RefCORE {
			return false
		}
		if x.EndsBlock() {
			return true
		}
	}
	return false
}
