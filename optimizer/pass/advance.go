package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// advance moves a pointer on instead of a copy of it. Compilers check bounds as
// `d = s; d += 14; if d > end` and go on to read at offsets from s: where the two
// are a known distance apart as long as both are wanted, one register does for
// both, and what was read from s is read at lower offsets.
func advance(r *run) {
	used := map[int]bool{} // points that a rewrite changed
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		st := r.vals.Before[k]
		if st == nil || !isMove(in) || in.Dst == in.Src || r.live.After[k]&isa.Regs(in.Dst, in.Src) != isa.Regs(in.Dst, in.Src) {
			continue
		}
		// No kernel lets a pointer to the context move.
		if t := st.Regs[in.Src]; t != 0 && r.vals.E.RegionOf(t).Kind == symex.Context {
			continue
		}
		t := together{r: r, k: k, d: in.Dst, s: in.Src, at: map[int]distance{}, edits: map[int]prog.Insn{}}
		if !t.follow() || t.meets(used) || !r.ok(k, "r%d itself moves on: %s", in.Src, text(in)) {
			continue
		}
		for p, e := range t.edits {
			if r.g.Insns[p] = e; addsNothing(&e) {
				r.nop(p)
			}
		}
		r.nop(k)
		used[k] = true
		for p := range t.at {
			used[p] = true
		}
	}
}

// meets: a point where the two are wanted is one of used.
func (t *together) meets(used map[int]bool) bool {
	for p := range t.at {
		if used[p] {
			return true
		}
	}
	return used[t.k]
}

func addsNothing(in *prog.Insn) bool {
	row := in.Row()
	return row.Kind == isa.KindALU && row.Fn == isa.FnAdd && row.Imm && in.Imm == 0
}

// distance is what is wanted at a point: the copy, what it was copied from, and how
// much more the copy is, if both are or the latter is.
type distance struct {
	copied, old bool
	delta       int64
}

func (a distance) any() bool { return a.copied || a.old }

// together joins the copy that k makes in d with s, from k on: s will hold what d
// does, and what s did less delta.
type together struct {
	r     *run
	k     int
	d, s  isa.Reg
	at    map[int]distance // before an instruction
	edits map[int]prog.Insn
	work  []int
}

// follow finds all points where the two are wanted, and what becomes of the
// instructions there.
func (t *together) follow() bool {
	if !t.flow(t.k, distance{copied: true, old: true}) {
		return false
	}
	for len(t.work) > 0 {
		p := t.work[len(t.work)-1]
		t.work = t.work[:len(t.work)-1]
		next, ok := t.step(p)
		if !ok || !t.flow(p, next) {
			return false
		}
	}
	// Every way to such a point must have come from k.
	for p, a := range t.at {
		for _, q := range t.r.predsOf(p) {
			if a.any() && q != t.k && !t.at[q].any() {
				return false
			}
		}
	}
	return true
}

// flow hands on what is wanted after an instruction to those that follow it.
func (t *together) flow(from int, a distance) bool {
	for _, q := range prog.Succs(t.r.f, from) {
		live := t.r.live.Before[q]
		now := distance{a.copied && live.Has(t.d), a.old && live.Has(t.s), a.delta}
		if !now.old {
			now.delta = 0
		}
		was, seen := t.at[q]
		switch {
		case seen && was != now, now.any() && (q == 0 || q == t.k):
			return false
		case seen:
			continue
		}
		t.at[q] = now
		// Points where neither is wanted are kept so that ways meet only there
		// where they agree.
		if now.any() {
			t.work = append(t.work, q)
		}
	}
	return true
}

// step tells what is wanted after the instruction at p, and edits it.
func (t *together) step(p int) (distance, bool) {
	in, a := t.r.f.Insns[p], t.at[p]
	useD, useS := a.copied && in.Use().Has(t.d), a.old && in.Use().Has(t.s)
	if t.r.live.Before[p].Has(t.s) && !a.old && a.copied || useD && useS || (useD || useS && a.delta != 0) && !renamable(&in) {
		return a, false
	}
	keeps := func(x isa.Reg) bool { return !in.Def().Has(x) || renamable(&in) && updates(&in, x) }
	after := t.r.live.After[p]
	next := distance{a.copied && keeps(t.d) && after.Has(t.d), a.old && keeps(t.s) && after.Has(t.s), a.delta}
	if in.Def().Has(t.s) && !keeps(t.s) && next.copied {
		return a, false // written for another purpose
	}
	by, constant := addend(&in)
	switch {
	case useD:
		if in.Def().Has(t.d) && updates(&in, t.d) {
			next.delta += by
			if !constant && next.old {
				return a, false
			}
		}
		src, dst := reads(&in)
		if in.Src == t.d && src {
			in.Src = t.s
		}
		if in.Dst == t.d && dst {
			in.Dst = t.s
		}
		t.edits[p] = in
	case useS && in.Def().Has(t.s) && updates(&in, t.s):
		switch row := in.Row(); {
		case !next.copied && constant && a.delta != 0:
			c := by - a.delta
			next.delta = 0
			in.Insn = isa.Insn{Op: isa.ALU(isa.FnAdd, 64, true), Dst: t.s, Imm: c}
			t.edits[p] = in
			return next, c == int64(int32(c))
		case !next.copied:
			return next, a.delta == 0 || (row.Fn == isa.FnAdd || row.Fn == isa.FnSub) && row.Width == 64 && !in.Frozen()
		case !constant:
			return a, false
		}
		next.delta -= by
		t.edits[p] = prog.New(isa.Insn{Op: isa.Nop})
	case useS && a.delta != 0:
		return next, t.less(p, in, a.delta)
	}
	return next, true
}

// less lets an instruction that reads s make up for delta.
func (t *together) less(p int, in prog.Insn, delta int64) bool {
	row := in.Row()
	off := int64(in.Off) - delta
	switch row.Kind {
	case isa.KindLoad, isa.KindStore, isa.KindAtomic:
		src, _ := reads(&in)
		if in.Frozen() || off != int64(int16(off)) || row.Kind != isa.KindLoad && src && in.Src == t.s {
			return false
		}
		in.Off = int16(off)
		t.edits[p] = in
		return true
	case isa.KindALU:
		// A copy that an addition follows.
		if !isMove(&in) || p+1 >= len(t.r.f.Insns) || t.r.cfg.BlockOf[p] != t.r.cfg.BlockOf[p+1] || in.Dst == t.s {
			return false
		}
		add := t.r.f.Insns[p+1]
		c, ok := addend(&add)
		if c -= delta; !ok || add.Dst != in.Dst || c != int64(int32(c)) {
			return false
		}
		add.Insn = isa.Insn{Op: isa.ALU(isa.FnAdd, 64, true), Dst: add.Dst, Imm: c}
		t.edits[p+1] = add
		return true
	}
	return false
}

// addend is what an instruction adds to a whole register, if that is a constant.
func addend(in *prog.Insn) (int64, bool) {
	row := in.Row()
	if row.Kind != isa.KindALU || !row.Imm || row.Width != 64 || in.Frozen() {
		return 0, false
	}
	switch row.Fn {
	case isa.FnAdd:
		return in.Imm, true
	case isa.FnSub:
		return -in.Imm, true
	}
	return 0, false
}
