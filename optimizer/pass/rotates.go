package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// twice, times a number of 32 bits, puts the number beside itself.
const twice = 1<<32 | 1

// rotateWait is how many nanoseconds longer a rotation by a multiplication takes than
// one by shifts, of which processors run two at once: measured on hash functions of
// twenty rotations.
const rotateWait = 0.045

// rotates turns rotations of 32 bits, of which hash functions have dozens, into
// shifts of a number that stands beside itself. Several share the factor that puts it
// there.
//
//	w3 = w0              r9 = 0x100000001 ll
//	w3 >>= 18            ...
//	r1 = r0              w1 = w0
//	r1 <<= 14            r1 *= r9
//	r1 |= r3             r1 >>= 18
func rotates(r *run) {
	demand := r.demand()
	slow := r.hot(rotateWait)
	for _, b := range r.cfg.Order {
		blk := r.cfg.Blocks[b]
		var found []rotation
		for k := blk.From; k < blk.To; k++ {
			if demand[k][r.f.Insns[k].Dst]>>32 != 0 || slow(k) {
				continue
			}
			if x, ok := r.rotation(k, blk.From); ok && (x.zext || r.MCPU >= 3) {
				found = append(found, x)
			}
		}
		for len(found) > 1 {
			n, y, gone := r.shareFactor(found)
			if n > 1 && r.ok(found[0].root, "r%d puts the values of %d rotations beside themselves", y, n) {
				first := found[0].root
				r.later(first, r.at(first, isa.Insn{Op: isa.LoadImm, Dst: y, Imm: twice}))
				for _, x := range found[:n] {
					r.rotate(x, y)
				}
				for _, k := range gone {
					r.nop(k)
				}
			}
			found = found[n:]
		}
	}
}

// hot tells whether ns more for each run of an instruction are too much for a slot:
// a share of what the function's slots take on average is not.
func (r *run) hot(ns float64) func(k int) bool {
	if r.Model == nil {
		return func(int) bool { return false }
	}
	w := r.weigh()
	slot := r.Model.Func(r.f, w).SlotWorth()
	return func(k int) bool { return w[k]*ns > slot }
}

// rotation is an instruction that completes a rotation of 32 bits to the left.
type rotation struct {
	root int
	by   int64
	from isa.Reg // holds the value once the shift is gone
	// shift is the instruction that shifts the value itself, in from; -1 if there is none.
	shift int
	zext  bool // nothing is above the value
}

// rotation tells whether instruction k, in the block that starts at from, completes one.
func (r *run) rotation(k, from int) (rotation, bool) {
	x := rotation{root: k, shift: -1}
	in, st := &r.f.Insns[k], r.vals.Before[k]
	row := in.Row()
	if row.Kind != isa.KindALU || in.Frozen() || st == nil || !r.live.After[k].Has(in.Dst) {
		return x, false
	}
	switch {
	case row.Imm && row.Fn == isa.FnRsh && row.Width == 64 && in.Imm > 0 && in.Imm < 32:
		x.by = 32 - in.Imm
		if j := r.setIn(from, k, in.Dst); j < 0 || !joins(&r.f.Insns[j]) {
			return x, false
		}
	case joins(in):
		for _, s := range []isa.Reg{in.Dst, in.Src} {
			if j := r.setIn(from, k, s); j >= 0 && shiftsBy(&r.f.Insns[j], isa.FnLsh) {
				x.by = r.f.Insns[j].Imm
			}
		}
	}
	if x.by == 0 {
		return x, false
	}
	t, ok := r.result(k)
	if !ok {
		return x, false
	}
	t = r.low(t, 32)
	if r.vals.C.Node(t).Op != smt.OpConcat {
		return x, false
	}
	for s := isa.R0; s < isa.FP; s++ {
		if r.rotated(st.Regs[s], t, x.by) {
			x.from, x.zext = s, r.high(st.Regs[s])
			return x, true
		}
	}
	for _, s := range []isa.Reg{in.Dst, in.Src} {
		if !joins(in) || s == in.Src && r.live.After[k].Has(s) {
			continue
		}
		j := r.setIn(from, k, s)
		if j < 0 || !shiftsBy(&r.f.Insns[j], isa.FnLsh) && !shiftsBy(&r.f.Insns[j], isa.FnRsh) {
			continue
		}
		old := r.vals.Before[j].Regs[s]
		for p := j + 1; p < k; p++ {
			if r.f.Insns[p].Use().Has(s) {
				old = 0
			}
		}
		if r.rotated(old, t, x.by) {
			x.from, x.shift, x.zext = s, j, r.high(old)
			return x, true
		}
	}
	return x, false
}

// joins: an instruction puts the bits of two registers together.
func joins(in *prog.Insn) bool {
	row := in.Row()
	return row.Kind == isa.KindALU && !row.Imm && !in.Frozen() && in.Dst != in.Src && (row.Fn == isa.FnOr || row.Fn == isa.FnXor || row.Fn == isa.FnAdd)
}

// shiftsBy: an instruction shifts by a constant below 32.
func shiftsBy(in *prog.Insn, fn isa.Fn) bool {
	row := in.Row()
	return row.Kind == isa.KindALU && row.Imm && row.Fn == fn && in.Imm > 0 && in.Imm < 32 && !in.Frozen()
}

// setIn is the last instruction before k, from the one at from, that sets x; -1 if
// none does.
func (r *run) setIn(from, k int, x isa.Reg) int {
	for j := k - 1; j >= from; j-- {
		if r.f.Insns[j].Def().Has(x) {
			return j
		}
	}
	return -1
}

// rotated: t is the lower half of v rotated.
func (r *run) rotated(v, t smt.Term, by int64) bool {
	c := r.vals.C
	return v != 0 && c.Concat(c.Extract(v, 0, uint8(32-by)), c.Extract(v, uint8(32-by), uint8(by))) == t
}

// high: nothing is above the lower half.
func (r *run) high(v smt.Term) bool {
	zeros, _ := r.vals.C.Known(v)
	return zeros>>32 == 1<<32-1
}

// shareFactor finds how many of the rotations, from the first on, can have the factor in
// one register, and which; one if there is no register for more. Gone are the
// instructions that are of no use then.
func (r *run) shareFactor(found []rotation) (n int, y isa.Reg, gone []int) {
	for n = len(found); n > 1; n-- {
		var s *run
		s, gone = r.withoutShifts(found[:n])
		best := 0
		for q := isa.R0; q < isa.FP; q++ {
			m := 0
			if isa.CalleeSaved.Has(q) && !r.usesReg(q) {
				continue
			}
			for k := found[0].root; m < n && !s.live.Before[k].Has(q) && !s.f.Insns[k].Def().Has(q); k++ {
				if k == found[m].root {
					m++
				}
			}
			if m > best {
				best, y = m, q
			}
		}
		if best == n {
			return n, y, gone
		}
		n = min(n, best+1)
	}
	return 1, 0, nil
}

// withoutShifts is the function with a copy in the place of each rotation, in the
// numbering of f, and what has no use in it.
func (r *run) withoutShifts(found []rotation) (s *run, gone []int) {
	s = r.on(r.f)
	for _, x := range found {
		if x.shift >= 0 {
			s.nop(x.shift)
			gone = append(gone, x.shift)
		}
		s.set(x.root, movReg(r.f.Insns[x.root].Dst, x.from))
	}
	s.f = s.g
	for more := true; more; {
		more = false
		s.cfg = prog.NewCFG(s.f)
		s.live = prog.NewLiveness(s.cfg)
		for k := range s.f.Insns {
			if in := &s.f.Insns[k]; in.Op != isa.Nop && plain(in) && in.Def()&r.live.After[k] != 0 && in.Def()&s.live.After[k] == 0 {
				s.nop(k)
				gone, more = append(gone, k), true
			}
		}
	}
	return s, gone
}

// rotate replaces a rotation by the multiplication with y.
func (r *run) rotate(x rotation, y isa.Reg) {
	d := r.f.Insns[x.root].Dst
	var code []prog.Insn
	switch {
	case !x.zext:
		code = append(code, r.at(x.root, isa.Insn{Op: isa.ALU(isa.FnMov, 32, false), Dst: d, Src: x.from}))
	case x.from != d:
		code = append(code, r.at(x.root, movReg(d, x.from)))
	}
	r.replaceLater(x.root, append(code,
		r.at(x.root, isa.Insn{Op: isa.ALU(isa.FnMul, 64, false), Dst: d, Src: y}),
		r.at(x.root, isa.Insn{Op: isa.ALU(isa.FnRsh, 64, true), Dst: d, Imm: 32 - x.by}))...)
}
