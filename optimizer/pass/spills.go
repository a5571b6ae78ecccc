package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// slot is a place in the frame that is only stored to and loaded from as a
// whole, at a fixed offset.
type slot struct {
	at, size int // bytes from the lowest address of the frame; 4 or 8
	access   []int
}

// maxSpills bounds the variables that one run tries to find a register for.
const maxSpills = 24

// spills gives a variable that lives in the frame a register that is free as
// long as it lives. Stores and loads become copies, which go with the others.
func spills(r *run) {
	slots := r.slots()
	if len(slots) == 0 {
		return
	}
	a := newAllocation(r)
	if a == nil || len(a.own) == 0 {
		return
	}
	tried, most := 0, min(maxSpills, maxColoured/len(a.own)+1)
	for _, s := range slots {
		for _, v := range r.variables(s) {
			if tried++; tried > most {
				return
			}
			if r.unspill(a, s, v) {
				return // registers changed: one a run
			}
		}
	}
}

// slots lists the places of the frame that could be registers.
func (r *run) slots() []slot {
	found := map[[2]int][]int{}
	var order [][2]int
	var others stackBytes
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if !r.cfg.Reachable(k) || r.vals.Before[k] == nil {
			continue
		}
		row := in.Row()
		size := int(row.Width / 8)
		direct := row.Kind == isa.KindLoad && in.Src == isa.FP && !row.Signed || row.Kind == isa.KindStore && in.Dst == isa.FP
		if direct && !in.Frozen() && (size == 8 || size == 4 && r.MCPU >= 3) {
			p := [2]int{isa.StackSize + int(in.Off), size}
			if found[p] == nil {
				order = append(order, p)
			}
			found[p] = append(found[p], k)
			continue
		}
		if row.Kind == isa.KindStore {
			if at, exact, on := r.stackAt(k, in.Dst, in.Off); exact {
				others.Add(at, size)
			} else if on {
				others.All()
			}
			continue
		}
		if in.IsCall() {
			r.touched(k, &others)
		} else {
			r.vals.FrameStep(r.f, k, &others)
		}
	}
	var out []slot
	for i, p := range order {
		alone := !others.Any(p[0], p[1])
		for j, q := range order {
			alone = alone && (i == j || p[0]+p[1] <= q[0] || q[0]+q[1] <= p[0])
		}
		if alone {
			out = append(out, slot{p[0], p[1], found[p]})
		}
	}
	return out
}

// touched adds the bytes of the frame that the callee at k reads or writes, all
// if that is not known.
func (r *run) touched(k int, bytes *stackBytes) {
	in := &r.f.Insns[k]
	for a := range 5 {
		x := isa.R1 + isa.Reg(a)
		if r.vals.Before[k].Regs[x] == 0 || !in.Use().Has(x) {
			continue
		}
		at, exact, on := r.stackAt(k, x, 0)
		n := -1
		if h := isa.HelperOf(int32(in.Imm)); in.Row().Kind == isa.KindCallHelper && h.Known {
			n = r.argSize(k, h, a)
		}
		switch {
		case on && exact && n >= 0:
			bytes.Add(at, n)
		case on:
			bytes.All()
		}
	}
}

// variables splits the uses of a slot into those that share a value.
func (r *run) variables(s slot) []*web {
	n := len(r.f.Insns)
	loads, stores := map[int]bool{}, map[int]bool{}
	for _, k := range s.access {
		if r.f.Insns[k].Row().Kind == isa.KindLoad {
			loads[k] = true
		} else {
			stores[k] = true
		}
	}
	before, after := make([]bool, n), make([]bool, n)
	for changed := true; changed; {
		changed = false
		for k := n - 1; k >= 0; k-- {
			if !r.cfg.Reachable(k) {
				continue
			}
			live := false
			for _, t := range prog.Succs(r.f, k) {
				live = live || before[t]
			}
			after[k] = live
			if live = live && !stores[k] || loads[k]; live != before[k] {
				before[k], changed = live, true
			}
		}
	}
	if before[0] {
		return nil // not always set
	}
	var out []*web
	seen := map[int]bool{}
	preds := r.preds()
	for _, first := range s.access {
		if !loads[first] || seen[first] {
			continue
		}
		v := &web{at: map[int]bool{first: true}, defs: map[int]bool{}, uses: map[int]bool{}}
		work := []int{first}
		add := func(k int) {
			if before[k] && !v.at[k] {
				v.at[k] = true
				work = append(work, k)
			}
		}
		for len(work) > 0 {
			k := work[len(work)-1]
			work = work[:len(work)-1]
			seen[k] = true
			if loads[k] {
				v.uses[k] = true
			}
			if !stores[k] {
				for _, t := range prog.Succs(r.f, k) {
					add(t)
				}
			}
			for _, p := range preds[k] {
				if stores[p] {
					v.defs[p] = true
					for _, t := range prog.Succs(r.f, p) {
						add(t)
					}
				} else {
					add(p)
				}
			}
		}
		out = append(out, v)
	}
	return out
}

// unspill looks for an assignment of registers with one for v.
func (r *run) unspill(a *allocation, s slot, v *web) bool {
	used := a.used(a.own) | isa.CallerSaved
	i := a.variable(v)
	defer a.forget(i, len(a.moves))
	a.prefer(v, i)
	first := -1
	for k := range v.defs {
		if first < 0 || k < first {
			first = k
		}
	}
	for c := []isa.Reg(nil); ; {
		if c = a.colour(used); c != nil {
			if !r.ok(first, "a register instead of the stack at %d", s.at-isa.StackSize) {
				return false
			}
			a.rewrite(c)
			r.copies(s, v, c[i])
			return true
		}
		more := isa.Regs(isa.R6)
		for used&more != 0 {
			more <<= 1
		}
		if more&isa.CalleeSaved == 0 {
			return false
		}
		used |= more
	}
}

// variable adds a web for what is live at v.
func (a *allocation) variable(v *web) int {
	i := len(a.own)
	a.own, a.fixed, a.forbid = append(a.own, none), append(a.fixed, false), append(a.forbid, 0)
	a.defAt, a.into = append(a.defAt, -1), append(a.into, i)
	for j := range a.near {
		for len(a.near[j]) <= i/64 {
			a.near[j] = append(a.near[j], 0)
		}
	}
	a.near = append(a.near, make([]uint64, i/64+1))
	for k := range a.r.f.Insns {
		through := a.r.liveThrough(v, k) && a.r.cfg.Reachable(k)
		for x := isa.R0; x < isa.FP; x++ {
			if j := a.node[0][k][x]; j >= 0 && v.at[k] {
				a.edge(i, j)
			}
			if !through {
				continue
			}
			if j := a.node[1][k][x]; j >= 0 {
				a.edge(i, j)
			} else if a.r.f.Insns[k].Def().Has(x) {
				a.forbid[i] = a.forbid[i].With(x)
			}
		}
	}
	return i
}

// forget removes the last web and the copies from the nth on.
func (a *allocation) forget(i, n int) {
	a.own, a.fixed, a.forbid, a.defAt, a.into = a.own[:i], a.fixed[:i], a.forbid[:i], a.defAt[:i], a.into[:i]
	a.near, a.moves = a.near[:i], a.moves[:n]
	for j := range a.near {
		a.near[j][i/64] &^= 1 << (i % 64)
	}
}

// prefer notes the copies that stores and loads of v will be.
func (a *allocation) prefer(v *web, i int) {
	for k := range v.defs {
		if in := &a.r.f.Insns[k]; !in.Row().Imm && in.Src != isa.FP {
			a.moves = append(a.moves, webMove{k, a.node[0][k][in.Src], i, 1})
		}
	}
	for k := range v.uses {
		if j := a.node[1][k][a.r.f.Insns[k].Dst]; j >= 0 {
			a.moves = append(a.moves, webMove{k, i, j, 1})
		}
	}
}

// copies writes register y for the slot.
func (r *run) copies(s slot, v *web, y isa.Reg) {
	for k := range v.defs {
		in := r.g.Insns[k]
		op := isa.Insn{Op: isa.ALU(isa.FnMov, uint8(8*s.size), in.Row().Imm), Dst: y, Src: in.Src, Imm: in.Imm}
		if in.Row().Imm {
			op.Src = 0
		}
		if s.size == 8 && !in.Row().Imm && in.Src == y {
			r.nop(k)
		} else {
			r.set(k, op)
		}
	}
	for k := range v.uses {
		if d := r.g.Insns[k].Dst; d == y {
			r.nop(k)
		} else {
			r.set(k, movReg(d, y))
		}
	}
}
