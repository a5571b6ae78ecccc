package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// modifying lists what an atomic operation can do to memory.
var modifying = []isa.Fn{isa.FnAdd, isa.FnOr, isa.FnAnd, isa.FnXor}

// atomics stores the result of a read-modify-write by one atomic operation. It
// is fewer slots and far more time, and no longer what other processors see as
// a plain access, so it needs Config.AllowAtomics.
func atomics(r *run) {
	if !r.AllowAtomics {
		return
	}
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		row := in.Row()
		if row.Kind != isa.KindStore || row.Imm || row.Width < 32 {
			continue
		}
		v, ok := r.stored(k)
		addr, ok2 := r.address(k, in.Dst)
		if !ok || !ok2 {
			continue
		}
		switch r.vals.E.RegionOf(addr).Kind {
		case symex.Stack, symex.MapValue, symex.Record, symex.Scalar:
		default:
			continue // the kernel allows no atomic operations there
		}
		code := r.atomicFor(k, v)
		if code == nil || !r.ok(k, "one atomic operation: %s", isa.Format(code[len(code)-1], "")) {
			continue
		}
		var repl []prog.Insn
		for _, c := range code {
			repl = append(repl, r.at(k, c))
		}
		if err := r.g.Splice(k, k+1, repl); err != nil {
			panic("pass: nothing was replaced: " + err.Error())
		}
		return // positions changed: one a run
	}
}

// atomicFor finds an atomic operation, with what prepares its operand, that
// does what store k of v does.
func (r *run) atomicFor(k int, v smt.Term) []isa.Insn {
	in, st, c := &r.f.Insns[k], r.vals.Before[k], r.vals.C
	w := in.Row().Width
	load := prog.New(isa.Insn{Op: isa.Load(w, false), Dst: in.Src, Src: in.Dst, Off: in.Off})
	after, err := r.vals.After(k, &load)
	if err != nil {
		return nil
	}
	old := r.low(after.Regs[in.Src], w)
	for _, fn := range modifying {
		op := isa.Atomic(fn, w, false)
		if op == 0 || int(isa.RowOf(op).MinCPU) > r.MCPU {
			continue
		}
		for x := isa.R0; x < isa.FP; x++ {
			if st.Regs[x] != 0 && x != in.Src && combine(c, fn, old, r.low(st.Regs[x], w)) == v {
				return []isa.Insn{{Op: op, Dst: in.Dst, Src: x, Off: in.Off}}
			}
		}
		if r.live.After[k].Has(in.Src) || in.Src == in.Dst {
			continue
		}
		for _, imm := range r.operandOf(k, fn, old, v, w) {
			if combine(c, fn, old, c.Const(uint64(imm), w)) == v {
				return []isa.Insn{
					{Op: isa.ALU(isa.FnMov, 64, true), Dst: in.Src, Imm: imm},
					{Op: op, Dst: in.Dst, Src: in.Src, Off: in.Off},
				}
			}
		}
		if again, ok := r.madeBefore(k, func(t smt.Term) bool { return combine(c, fn, old, r.low(t, w)) == v }); ok {
			again.Dst = in.Src
			return []isa.Insn{again, {Op: op, Dst: in.Dst, Src: in.Src, Off: in.Off}}
		}
	}
	return nil
}

// madeBefore finds an instruction shortly before k whose result satisfies want
// and would be the same at k: what it computes from is still there.
func (r *run) madeBefore(k int, want func(smt.Term) bool) (isa.Insn, bool) {
	for j := k - 1; j >= max(k-maxWindow, 0) && r.cfg.BlockOf[j] == r.cfg.BlockOf[k]; j-- {
		in := &r.f.Insns[j]
		if row := in.Row(); row.Kind != isa.KindALU || row.Fn != isa.FnMov && row.Fn != isa.FnMovSX || row.Imm || in.Frozen() {
			continue // any other reads its own register, which it overwrites
		}
		t, ok := r.result(j)
		if ok && r.vals.Before[k].Regs[in.Src] == r.vals.Before[j].Regs[in.Src] && want(t) {
			return in.Insn, true
		}
	}
	return isa.Insn{}, false
}

// operandOf lists constants that may make v of old: the difference, and those in
// the instructions right before store k.
func (r *run) operandOf(k int, fn isa.Fn, old, v smt.Term, w uint8) []int64 {
	c := r.vals.C
	if fn == isa.FnAdd {
		d, ok := c.IsConst(c.Sub(v, old))
		if w == 32 {
			d = uint64(int64(int32(d)))
		}
		if !ok || int64(d) != int64(int32(d)) {
			return nil
		}
		return []int64{int64(d)}
	}
	var out []int64
	for j := max(k-maxWindow, 0); j < k; j++ {
		if row := r.f.Insns[j].Row(); row.Kind == isa.KindALU && row.Imm && row.Fn == fn {
			out = append(out, r.f.Insns[j].Imm)
		}
	}
	return out
}

func combine(c *smt.Ctx, fn isa.Fn, a, b smt.Term) smt.Term {
	switch fn {
	case isa.FnAdd:
		return c.Add(a, b)
	case isa.FnOr:
		return c.Or(a, b)
	case isa.FnAnd:
		return c.And(a, b)
	}
	return c.Xor(a, b)
}
