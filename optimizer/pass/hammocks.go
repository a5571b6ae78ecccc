package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxBetween bounds the instructions between two branches that are joined.
const maxBetween = 8

// hammocks joins two branches on the same condition, each around a single
// instruction, as compilers make them of a row of selections: the second's
// instruction moves into the first's arm, and what it replaces as the default
// moves before it.
func hammocks(r *run) {
	for k := range r.f.Insns {
		if !r.hammock(k) {
			continue
		}
		for j := k + 2; j < min(len(r.f.Insns)-2, k+2+maxBetween); j++ {
			in := &r.f.Insns[j]
			if in.Insn == r.f.Insns[k].Insn && r.hammock(j) {
				if r.joinHammocks(k, j) {
					return // positions changed: one a run
				}
				break
			}
			if in.IsJump() || in.IsCall() || in.EndsBlock() || in.Row().Kind == isa.KindAtomic || j > k+2 && !r.lonely(j) {
				break
			}
		}
	}
}

// hammock: instruction k jumps over the next one, and nothing else goes to
// either end of that.
func (r *run) hammock(k int) bool {
	in := &r.f.Insns[k]
	if in.Row().Kind != isa.KindCondJump || in.Frozen() || in.Target != k+2 || !r.lonely(k+1) {
		return false
	}
	row := r.f.Insns[k+1].Row()
	return (row.Kind == isa.KindALU || row.Kind == isa.KindStore && row.Imm && r.f.Insns[k+1].Dst == isa.FP) &&
		!r.f.Insns[k+1].Frozen() && len(r.cfg.Blocks[r.cfg.BlockOf[k+2]].Preds) == 2
}

// joinHammocks moves the arm of the branch at j into the one at k.
func (r *run) joinHammocks(k, j int) bool {
	arm := &r.f.Insns[j+1]
	cond := r.f.Insns[k].Use()
	if r.f.Insns[k+1].Def()&cond != 0 {
		return false
	}
	x := arm.Def()
	def := -1 // the default of what the arm sets, between the branches
	for i := k + 2; i < j; i++ {
		in := &r.f.Insns[i]
		switch {
		case in.Def()&cond != 0:
			return false
		case x != 0 && in.Def()&x != 0 && in.Use()&x == 0 && def < 0 && plain(in) && in.Row().Kind == isa.KindALU:
			def = i
		case in.Def()&x != 0 || in.Def()&arm.Use()&^x != 0:
			return false
		case def >= 0 && in.Use()&x != 0, def < 0 && in.Use()&x != 0:
			return false
		case x == 0 && (in.Row().Kind == isa.KindLoad || in.Row().Kind == isa.KindStore && in.Dst == arm.Dst && overlap(in, arm)):
			return false
		}
	}
	if def >= 0 && (x&cond != 0 || arm.Use()&x != 0 || !r.movable(def, k) || r.f.Insns[k+1].Use()&x != 0 || r.f.Insns[k+1].Def()&x != 0) {
		return false
	}
	if def < 0 && arm.Use()&x == 0 && r.f.Insns[k+1].Def()&x != 0 {
		return false
	}
	if !r.ok(j, "joins the branch before on the same condition: %s", text(&r.f.Insns[j])) {
		return false
	}
	moved := *arm
	jump := r.g.Insns[k]
	head := []prog.Insn{jump}
	if def >= 0 {
		head = []prog.Insn{r.f.Insns[def], jump}
		r.nop(def)
	}
	r.nop(j)
	r.nop(j + 1)
	first := r.f.Insns[k+1]
	repl := slices.Concat(head, []prog.Insn{first, moved})
	repl[len(head)-1].Target = k + 2
	if err := r.g.Splice(k, k+2, repl); err != nil {
		r.changes = r.changes[:len(r.changes)-1]
		return false
	}
	return true
}

// movable: instruction d can go before the branch at k.
func (r *run) movable(d, k int) bool {
	in := &r.f.Insns[d]
	for i := k + 1; i < d; i++ {
		if r.f.Insns[i].Def()&(in.Use()|in.Def()) != 0 {
			return false
		}
	}
	return true
}

// overlap tells whether two accesses through one register touch.
func overlap(a, b *prog.Insn) bool {
	return int(a.Off) < int(b.Off)+int(b.Row().Width/8) && int(b.Off) < int(a.Off)+int(a.Row().Width/8)
}
