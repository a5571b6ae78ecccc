package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
)

// maxShared bounds the instructions that are compared.
const maxShared = 64

// share lets jumps to equal code go to one copy of it. A copy that control
// falls into has to stay and is as good as any; else the last is kept, so that
// control goes forward. Copies without a way in then disappear.
func share(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Target < 0 || in.Row().Kind == isa.KindMayGoto || !r.cfg.Reachable(k) || r.fallsInto(in.Target) {
			continue
		}
		keep := -1
		for u := len(r.f.Insns) - 1; u >= 0; u-- {
			falls := r.fallsInto(u)
			if u == in.Target || u < in.Target && !falls || keep >= 0 && !falls || !r.cfg.Reachable(u) || !r.sameUntilEnd(in.Target, u) {
				continue
			}
			if keep = u; falls {
				break
			}
		}
		if keep >= 0 && r.ok(k, "goes to the copy at %d: %s", keep, text(in)) {
			r.g.Insns[k].Target = keep
		}
	}
}

// fallsInto: control comes to k from the instruction before.
func (r *run) fallsInto(k int) bool {
	return k > 0 && !r.f.Insns[k-1].EndsBlock() && r.cfg.Reachable(k-1)
}

// sameUntilEnd: the code at a and at b is the same up to an exit or jump.
func (r *run) sameUntilEnd(a, b int) bool {
	for i := range maxShared {
		if a+i >= len(r.f.Insns) || b+i >= len(r.f.Insns) {
			return false
		}
		if !r.alike(a+i, b+i) {
			return false
		}
		if r.f.Insns[a+i].EndsBlock() {
			return true
		}
	}
	return false
}
