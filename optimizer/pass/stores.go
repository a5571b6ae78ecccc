package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// maxApart is how many instructions may lie between two stores that are
// merged.
const maxApart = 24

// mergeStores replaces two stores to neighbouring bytes by one of twice the
// width, if what they store is a constant, a register's contents, or a wider
// load.
func mergeStores(r *run) {
	for _, b := range r.cfg.Order {
		blk := r.cfg.Blocks[b]
		for i := blk.From; i < blk.To; i++ {
			if r.f.Insns[i].Row().Kind != isa.KindStore || r.vals.Before[i] == nil {
				continue
			}
			for j := i + 1; j < min(blk.To, i+maxApart); j++ {
				in := &r.f.Insns[j]
				if in.IsCall() || in.Row().Kind == isa.KindAtomic {
					break
				}
				if in.Row().Kind == isa.KindStore && r.mergePair(i, j) {
					return // positions changed: one a run
				}
			}
		}
	}
}

// stored is the term that a store writes.
func (r *run) stored(k int) (smt.Term, bool) {
	in, st := &r.f.Insns[k], r.vals.Before[k]
	row := in.Row()
	if st == nil || in.Frozen() {
		return 0, false
	}
	if row.Imm {
		return r.vals.C.Const(uint64(in.Imm), row.Width), true
	}
	if st.Regs[in.Src] == 0 {
		return 0, false
	}
	return r.low(st.Regs[in.Src], row.Width), true
}

func (r *run) mergePair(i, j int) bool {
	c := r.vals.C
	a, b := &r.f.Insns[i], &r.f.Insns[j]
	w := a.Row().Width
	if b.Row().Width != w || w == 64 {
		return false
	}
	sa, sb := r.vals.Before[i], r.vals.Before[j]
	if sa.Regs[a.Dst] == 0 || sb == nil || sb.Regs[b.Dst] == 0 {
		return false
	}
	kind := r.vals.E.RegionOf(sb.Regs[b.Dst]).Kind
	if kind == symex.Context || kind == symex.Scalar || kind == symex.Any {
		return false
	}
	d, ok := c.IsConst(c.Sub(sb.Regs[b.Dst], sa.Regs[a.Dst]))
	if !ok {
		return false
	}
	gap := int64(d) + int64(b.Off) - int64(a.Off) // from a's place to b's
	if gap != int64(w/8) && gap != -int64(w/8) {
		return false
	}
	va, okA := r.stored(i)
	vb, okB := r.stored(j)
	if !okA || !okB {
		return false
	}
	lo, hi, off := va, vb, b.Off-int16(w/8)
	if gap < 0 {
		lo, hi, off = vb, va, b.Off
	}
	if kind == symex.Stack {
		at, exact, _ := r.stackAt(j, b.Dst, off)
		if !exact || at%int(w/4) != 0 {
			return false // the stack wants natural alignment
		}
	}
	code := r.storeOf(j, b.Dst, off, 2*w, c.Concat(hi, lo))
	if code == nil || !r.ok(j, "one store for two: %s", text(b)) {
		return false
	}
	r.splice(j, j+1, code)
	r.nop(i)
	return true
}

// storeOf finds code at j that stores t of w bits.
func (r *run) storeOf(j int, base isa.Reg, off int16, w uint8, t smt.Term) []isa.Insn {
	c, st := r.vals.C, r.vals.Before[j]
	if v, ok := c.IsConst(t); ok {
		imm := int64(v)
		if w == 32 {
			imm = int64(int32(v))
		}
		if imm == int64(int32(imm)) {
			return []isa.Insn{{Op: isa.Store(w, true), Dst: base, Off: off, Imm: imm}}
		}
		// Four slots of two stores become lddw and a store only if a register
		// is free; the stores stay otherwise.
		return nil
	}
	for s := isa.R0; s < isa.FP; s++ {
		if st.Regs[s] != 0 && r.low(st.Regs[s], w) == t {
			return []isa.Insn{{Op: isa.Store(w, false), Dst: base, Src: s, Off: off}}
		}
	}
	// Something loaded in two halves.
	in := &r.f.Insns[j]
	if in.Row().Imm || r.live.After[j].Has(in.Src) || in.Src == base {
		return nil
	}
	probe := *r
	probe.f = r.f.Clone()
	probe.f.Insns[j] = prog.New(movReg(in.Src, in.Src))
	if code := probe.asLoad(j, c.ZExt(t, 64), w); len(code) == 1 {
		return append(code, isa.Insn{Op: isa.Store(w, false), Dst: base, Src: in.Src, Off: off})
	}
	return nil
}
