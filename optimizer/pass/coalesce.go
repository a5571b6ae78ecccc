package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// web is the part of a function where a register holds one variable: the
// points (before an instruction) where it is live, and the instructions that
// write it.
type web struct {
	at   map[int]bool
	defs map[int]bool
	uses map[int]bool
}

// webOf collects the web of register x around the point before instruction
// seed. It fails for a value that comes from outside or goes through a
// register that the machine fixes (call arguments and results).
func (r *run) webOf(seed int, x isa.Reg) (*web, bool) {
	w := &web{at: map[int]bool{}, defs: map[int]bool{}, uses: map[int]bool{}}
	preds := r.preds()
	work := []int{seed}
	add := func(k int) {
		if !w.at[k] {
			w.at[k] = true
			work = append(work, k)
		}
	}
	w.at[seed] = true
	pureDef := func(k int) bool { return r.f.Insns[k].Def().Has(x) && !updates(&r.f.Insns[k], x) }
	for len(work) > 0 {
		k := work[len(work)-1]
		work = work[:len(work)-1]
		if k == 0 {
			return nil, false // comes in as an argument
		}
		in := &r.f.Insns[k]
		if in.Use().Has(x) {
			if !renamable(in) {
				return nil, false
			}
			w.uses[k] = true
		}
		// Forward: past an instruction that keeps or updates x.
		if !pureDef(k) && r.live.After[k].Has(x) {
			for _, s := range prog.Succs(r.f, k) {
				if r.live.Before[s].Has(x) {
					add(s)
				}
			}
		}
		// Backward: to what wrote it.
		for _, p := range preds[k] {
			if !r.live.After[p].Has(x) {
				continue
			}
			if r.f.Insns[p].Def().Has(x) {
				if !renamable(&r.f.Insns[p]) {
					return nil, false
				}
				w.defs[p] = true
				for _, s := range prog.Succs(r.f, p) {
					if r.live.Before[s].Has(x) {
						add(s)
					}
				}
			}
			if !pureDef(p) {
				add(p)
			}
		}
	}
	return w, true
}

// renamable: the instruction's registers are written in it, not implied.
func renamable(in *prog.Insn) bool {
	row := in.Row()
	switch row.Kind {
	case isa.KindALU, isa.KindLoadImm, isa.KindLoad, isa.KindStore, isa.KindCondJump:
		return true
	case isa.KindAtomic:
		return !row.Fetch && row.Fn != isa.FnCmpXchg && row.Fn != isa.FnLoadAcq
	}
	return false
}

// updates: the instruction reads x, and writes it again as the same operand. One
// that loads x from where x points to sets another variable.
func updates(in *prog.Insn, x isa.Reg) bool {
	if !in.Def().Has(x) || !in.Use().Has(x) {
		return false
	}
	_, dst := reads(in)
	k := in.Row().Kind
	return dst || k != isa.KindALU && k != isa.KindLoad
}

// preds lists the instructions that control may come from, for each.
func (r *run) preds() [][]int {
	if r.predTable != nil {
		return r.predTable
	}
	out := make([][]int, len(r.f.Insns))
	for k := range r.f.Insns {
		if !r.cfg.Reachable(k) {
			continue
		}
		for _, s := range prog.Succs(r.f, k) {
			out[s] = append(out[s], k)
		}
	}
	r.predTable = out
	return out
}

// free: register y is not in use anywhere in the web, the instruction except
// aside (a copy between the two that is about to go).
func (r *run) free(w *web, y isa.Reg, except int) bool {
	for k := range w.at {
		if r.live.Before[k].Has(y) {
			return false
		}
		// Written while x is live across: by a call, say.
		if r.f.Insns[k].Def().Has(y) && k != except && r.liveThrough(w, k) {
			return false
		}
	}
	for d := range w.defs {
		if d != except && r.live.After[d].Has(y) {
			return false
		}
	}
	return true
}

// liveThrough: the web's value is still wanted after instruction k.
func (r *run) liveThrough(w *web, k int) bool {
	for _, s := range prog.Succs(r.f, k) {
		if w.at[s] {
			return true
		}
	}
	return false
}

// rename writes y for x throughout the web, in g.
func (r *run) rename(w *web, x, y isa.Reg) {
	for k := range w.defs {
		r.g.Insns[k].Dst = y
	}
	for k := range w.uses {
		in := &r.g.Insns[k]
		src, dst := reads(in)
		if in.Src == x && src {
			in.Src = y
		}
		if in.Dst == x && dst {
			in.Dst = y
		}
	}
}

// coalesce removes copies by giving both sides of them the same register, then
// moves variables from callee-saved registers to others where no call comes in
// between.
func coalesce(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		if row.Kind != isa.KindALU || row.Fn != isa.FnMov || row.Imm || row.Width != 64 || in.Dst == in.Src || in.Frozen() || !r.cfg.Reachable(k) {
			continue
		}
		d, s := in.Dst, in.Src
		if s == isa.FP || !r.live.After[k].Has(d) || k+1 >= len(r.f.Insns) {
			continue
		}
		if r.live.After[k].Has(s) {
			continue // both are wanted
		}
		// Compute it in d in the first place.
		if w, ok := r.webOf(k, s); ok && r.free(w, d, k) && r.ok(k, "computed in r%d directly: %s", d, text(in)) {
			r.rename(w, s, d)
			r.nop(k)
			return
		}
		// Or leave it in s.
		if w, ok := r.webOf(k+1, d); ok && len(w.defs) >= 1 && w.defs[k] && r.free(w, s, k) && r.ok(k, "left in r%d: %s", s, text(in)) {
			r.rename(w, d, s)
			r.nop(k)
			return
		}
	}
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if !renamable(in) || !r.cfg.Reachable(k) || k+1 >= len(r.f.Insns) {
			continue
		}
		for x := isa.R6; x <= isa.R9; x++ {
			if !in.Def().Has(x) || !r.live.After[k].Has(x) || in.Use().Has(x) {
				continue
			}
			w, ok := r.webOf(prog.Succs(r.f, k)[0], x)
			if !ok || !w.defs[k] {
				continue
			}
			for y := isa.R0; y <= isa.R5; y++ {
				if r.free(w, y, -1) && r.ok(k, "r%d for r%d, no call in between", y, x) {
					r.rename(w, x, y)
					return
				}
			}
		}
	}
}
