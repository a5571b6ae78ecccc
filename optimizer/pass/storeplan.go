package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// storePlan is one store in the place of several, and what it takes.
type storePlan struct {
	from    int        // prepare goes before this instruction
	prepare []isa.Insn // gives the store its register
	instead bool       // prepare takes the place of instruction from
	store   isa.Insn
}

// mergeAt puts one store for those in gone where its operands are at hand.
func (r *run) mergeAt(s *storeRun, gone []int, limit int, off int64, w uint8, t bytesOf) bool {
	first, last := gone[0], gone[len(gone)-1]
	failed := map[int]bool{}
	for p := min(last+1, limit); p >= first; p-- {
		if p >= len(r.f.Insns) || r.cfg.BlockOf[p] != r.cfg.BlockOf[first] {
			continue
		}
		plan, ok := r.storeOf(p, s, gone, off, w, t, failed)
		if !ok {
			continue
		}
		if !r.ok(last, "one store for %d: %s", len(gone), isa.Format(plan.store, "")) {
			return false
		}
		for _, k := range gone {
			r.nop(k)
		}
		r.later(p, r.at(last, plan.store))
		for _, in := range slices.Backward(plan.prepare) {
			r.later(plan.from, r.at(last, in))
		}
		if plan.instead {
			r.nop(plan.from)
		}
		return true
	}
	return false
}

// storeOf plans a store of t, w bits, before instruction p, at a distance from a
// run's base.
func (r *run) storeOf(p int, s *storeRun, gone []int, off int64, w uint8, t bytesOf, failed map[int]bool) (storePlan, bool) {
	c, st := r.vals.C, r.vals.Before[p]
	none := storePlan{}
	if st == nil {
		return none, false
	}
	base, dist, found := isa.Reg(0), int64(0), false
	for x := isa.FP; ; x-- {
		if st.Regs[x] != 0 {
			d, ok := c.IsConst(c.Sub(s.base, st.Regs[x]))
			if at := int64(d) + off; ok && at == int64(int16(at)) && (x == isa.FP || r.live.Before[p].Has(x)) {
				base, dist, found = x, at, true
			}
		}
		if x == 0 || found {
			break
		}
	}
	if !found {
		return none, false
	}
	some, _ := t.term(c, true)
	if v, ok := c.IsConst(some); ok {
		imm := int64(v)
		if w == 32 {
			imm = int64(int32(v))
		}
		// A constant of two slots gains nothing.
		return storePlan{store: isa.Insn{Op: isa.Store(w, true), Dst: base, Off: int16(dist), Imm: imm}}, imm == int64(int32(imm))
	}
	plan := storePlan{store: isa.Insn{Op: isa.Store(w, false), Dst: base, Off: int16(dist)}}
	for x := isa.R0; x < isa.FP; x++ {
		if st.Regs[x] != 0 && t.are(c, r.low(st.Regs[x], w)) {
			plan.store.Src = x
			return plan, true
		}
	}
	if r.loadedAtOnce(&plan, p, s, gone, off, w, t, failed) || r.swapped(&plan, p, gone, w, t) {
		return plan, true
	}
	return none, false
}

// loadedAtOnce: what is stored was loaded in parts; load it at once, into a
// register that is free, or that only served one of the parts. What points there
// may be gone at p, after the last part was loaded. failed are the places where no load
// was found for another p: what a load gives does not depend on its register.
func (r *run) loadedAtOnce(plan *storePlan, p int, s *storeRun, gone []int, off int64, w uint8, t bytesOf, failed map[int]bool) bool {
	c := r.vals.C
	try := func(q int, x isa.Reg) bool {
		if failed[q] {
			return false
		}
		// Not from where the stores that go have written.
		written := func(in isa.Insn) bool {
			addr := c.Add(r.vals.Before[q].Regs[in.Src], c.Const(uint64(int64(in.Off)), 64))
			d, ok := c.IsConst(c.Sub(addr, s.base))
			return ok && int64(d) > off-int64(w/8) && int64(d) < off+int64(w/8)
		}
		code := r.partsLoad(q, x, t, w, written)
		if len(code) == 0 || len(code) > 1 && len(gone) <= len(code) {
			failed[q] = true
			return false
		}
		plan.from, plan.prepare, plan.store.Src = q, code, x
		return true
	}
	var busy isa.RegSet
	for q := p; q >= max(p-maxApart, r.cfg.Blocks[r.cfg.BlockOf[p]].From) && r.vals.Before[q] != nil; q-- {
		busy |= r.live.Before[q]
		if q < p {
			busy |= r.f.Insns[q].Def()
		}
		x, ok := r.unused(busy.With(plan.store.Dst))
		if !ok {
			break
		}
		if try(q, x) {
			return true
		}
	}
	for _, g := range gone {
		d, x, ok := r.partOnly(g, gone)
		if !ok || d >= p || x == plan.store.Dst || r.f.Insns[d].Use().Has(x) || r.vals.Before[d] == nil {
			continue
		}
		if slices.ContainsFunc(r.f.Insns[d+1:p], func(in prog.Insn) bool { return in.Def().Has(x) }) {
			continue
		}
		if try(d, x) {
			plan.instead = true
			return true
		}
	}
	return false
}

// partOnly: instruction d computes register x, in this block, for store g of those
// in gone, and nothing outside of them reads it.
func (r *run) partOnly(g int, gone []int) (d int, x isa.Reg, ok bool) {
	in := &r.f.Insns[g]
	if in.Row().Imm {
		return 0, 0, false
	}
	x = in.Src
	blk := r.cfg.Blocks[r.cfg.BlockOf[g]]
	for d = g - 1; d >= blk.From && !r.f.Insns[d].Def().Has(x); d-- {
	}
	if d < blk.From || !plain(&r.f.Insns[d]) {
		return 0, 0, false
	}
	for k := d + 1; k < blk.To; k++ {
		in := &r.f.Insns[k]
		if in.Use().Has(x) && (!slices.Contains(gone, k) || in.Dst == x) {
			return 0, 0, false
		}
		if in.Def().Has(x) || !r.live.After[k].Has(x) {
			return d, x, true
		}
	}
	return 0, 0, false
}

// swapped: what is stored are the bytes of a register in reverse order.
func (r *run) swapped(plan *storePlan, p int, gone []int, w uint8, t bytesOf) bool {
	c, st := r.vals.C, r.vals.Before[p]
	freed := len(gone)
	for _, g := range gone {
		if d, _, ok := r.partOnly(g, gone); ok && r.f.Insns[d].Row().Kind == isa.KindALU {
			freed++
		}
	}
	reversed := slices.Clone(t)
	slices.Reverse(reversed)
	for y := isa.R0; y < isa.FP; y++ {
		if st.Regs[y] == 0 || !reversed.are(c, r.low(st.Regs[y], w)) {
			continue
		}
		x, code := y, []isa.Insn(nil)
		if r.live.Before[p].Has(y) {
			var ok bool
			if x, ok = r.unused(r.live.Before[p].With(plan.store.Dst)); !ok {
				return false
			}
			code = append(code, movReg(x, y))
		}
		code = append(code, isa.Insn{Op: isa.ALUBits(isa.FnToBE, 64, w), Dst: x})
		if len(code)+1 >= freed {
			continue
		}
		plan.from, plan.prepare, plan.store.Src = p, code, x
		return true
	}
	return false
}

// unused finds a register outside busy whose use costs nothing.
func (r *run) unused(busy isa.RegSet) (isa.Reg, bool) {
	for x := isa.R0; x < isa.FP; x++ {
		if !busy.Has(x) && (!isa.CalleeSaved.Has(x) || r.usesReg(x)) {
			return x, true
		}
	}
	return 0, false
}

// partsLoad finds a load of w bits into x, before instruction p, that gives the
// bytes t.
func (r *run) partsLoad(p int, x isa.Reg, t bytesOf, w uint8, except func(isa.Insn) bool) []isa.Insn {
	c := r.vals.C
	if all, ok := t.term(c, false); ok {
		return r.asLoad(p, x, c.ZExt(all, 64), w, except)
	}
	if t[0] == 0 {
		return nil
	}
	if in, ok := r.loadOf(p, x, t[0], w, except, func(v smt.Term) bool { return t.are(c, c.Extract(v, 0, w)) }); ok {
		return []isa.Insn{in}
	}
	return nil
}

// usesReg: some instruction writes x already.
func (r *run) usesReg(x isa.Reg) bool {
	for k := range r.f.Insns {
		if in := &r.f.Insns[k]; !in.IsCall() && in.Def().Has(x) {
			return true
		}
	}
	return false
}
