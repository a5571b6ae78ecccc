package pass

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Bounds on the graphs that are made: instructions of the function, and webs.
const (
	maxWebInsns = 6000
	maxWebs     = 3000
)

// allocation is a function seen as variables that compete for registers. A
// variable is a web: the points where a register holds a value, joined along
// control flow.
type allocation struct {
	r *run
	// node gives the web of register x before instruction k at [0][k][x], after
	// it at [1][k][x]; -1 where x is not live (or, after, not written).
	node [2][][isa.NumRegs]int
	// own is the register that a web has in the function.
	own []isa.Reg
	// fixed: the machine says which register it is.
	fixed []bool
	// forbid holds registers that are overwritten while the web is live.
	forbid []isa.RegSet
	// near is the interference relation, a bit set for each web.
	near [][]uint64
	// defAt is the first instruction that writes the web, -1 if none does.
	defAt []int
	moves []webMove
	// into is the web that a web was merged with, itself if it was not.
	into []int
}

// webMove is a copy between two webs that could be one.
type webMove struct {
	k, from, to int
	weight      float64
}

// newAllocation builds the webs of r.f; nil if there are too many.
func newAllocation(r *run) *allocation {
	n := len(r.f.Insns)
	if n > maxWebInsns {
		return nil
	}
	a := &allocation{r: r}
	parent := make([]int, 2*n*int(isa.NumRegs))
	for i := range parent {
		parent[i] = i
	}
	var find func(i int) int
	find = func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	point := func(after, k int, x isa.Reg) int { return (after*n+k)*int(isa.NumRegs) + int(x) }
	union := func(i, j int) { parent[find(i)] = find(j) }
	for k := range n {
		if !r.cfg.Reachable(k) {
			continue
		}
		in := &r.f.Insns[k]
		for x := isa.R0; x < isa.FP; x++ {
			if r.live.Before[k].Has(x) && r.live.After[k].Has(x) && (!in.Def().Has(x) || updates(in, x)) || updates(in, x) && renamable(in) {
				union(point(0, k, x), point(1, k, x))
			}
			if !r.live.After[k].Has(x) {
				continue
			}
			for _, s := range prog.Succs(r.f, k) {
				if r.live.Before[s].Has(x) {
					union(point(1, k, x), point(0, s, x))
				}
			}
		}
	}
	// Number the webs.
	number := map[int]int{}
	get := func(p int, x isa.Reg) int {
		p = find(p)
		w, ok := number[p]
		if !ok {
			w = len(a.own)
			number[p] = w
			a.own, a.fixed = append(a.own, x), append(a.fixed, false)
			a.forbid, a.defAt = append(a.forbid, 0), append(a.defAt, -1)
			a.into = append(a.into, w)
		}
		return w
	}
	for after := range a.node {
		a.node[after] = make([][isa.NumRegs]int, n)
		for k := range n {
			for x := range isa.NumRegs {
				a.node[after][k][x] = -1
			}
			if !r.cfg.Reachable(k) {
				continue
			}
			in := &r.f.Insns[k]
			for x := isa.R0; x < isa.FP; x++ {
				live := r.live.Before[k].Has(x)
				if after == 1 {
					live = r.live.After[k].Has(x) || in.Def().Has(x) && renamable(in)
				}
				if live {
					a.node[after][k][x] = get(point(after, k, x), x)
				}
			}
		}
	}
	if len(a.own) > maxWebs {
		return nil
	}
	a.near = make([][]uint64, len(a.own))
	for i := range a.near {
		a.near[i] = make([]uint64, (len(a.own)+63)/64)
	}
	a.interfere()
	return a
}

func (a *allocation) edge(i, j int) {
	if i != j {
		a.near[i][j/64] |= 1 << (j % 64)
		a.near[j][i/64] |= 1 << (i % 64)
	}
}

func (a *allocation) apart(i, j int) bool { return a.near[i][j/64]>>(j%64)&1 == 1 }

// interfere fills in which webs are live where another is written, what the
// machine fixes, and the copies.
func (a *allocation) interfere() {
	r := a.r
	weights := r.Weights
	if weights == nil {
		weights = cost.Guess
	}
	w := weights(r.f)
	for x := isa.R0; x < isa.FP; x++ {
		if i := a.node[0][0][x]; i >= 0 {
			a.fixed[i] = true // comes in as an argument
			for y := isa.R0; y < x; y++ {
				if j := a.node[0][0][y]; j >= 0 {
					a.edge(i, j)
				}
			}
		}
	}
	for k := range r.f.Insns {
		if !r.cfg.Reachable(k) {
			continue
		}
		in := &r.f.Insns[k]
		move := isMove(in)
		implied := !renamable(in) && !exchange(in)
		for x := isa.R0; x < isa.FP; x++ {
			if i := a.node[0][k][x]; i >= 0 && in.Use().Has(x) && implied {
				a.fixed[i] = true
			}
			if !in.Def().Has(x) {
				continue
			}
			i := a.node[1][k][x]
			if i >= 0 {
				a.fixed[i] = a.fixed[i] || implied
				if a.defAt[i] < 0 {
					a.defAt[i] = k
				}
			}
			for y := isa.R0; y < isa.FP; y++ {
				j := a.node[1][k][y]
				if y == x || j < 0 || move && y == in.Src {
					continue
				}
				if i >= 0 {
					a.edge(i, j)
				} else {
					a.forbid[j] = a.forbid[j].With(x)
				}
			}
		}
		if move && a.node[0][k][in.Src] >= 0 {
			a.moves = append(a.moves, webMove{k, a.node[0][k][in.Src], a.node[1][k][in.Dst], w[k]})
		}
	}
	slices.SortStableFunc(a.moves, func(x, y webMove) int { return cmp.Compare(y.weight, x.weight) })
}

// isMove: a copy of a whole register that can be done without.
func isMove(in *prog.Insn) bool {
	row := in.Row()
	return row.Kind == isa.KindALU && row.Fn == isa.FnMov && !row.Imm && row.Width == 64 && in.Src != isa.FP && !in.Frozen()
}

// exchange: an atomic whose registers are all written in it, though one is both
// read and written.
func exchange(in *prog.Insn) bool {
	row := in.Row()
	return row.Kind == isa.KindAtomic && row.Fn != isa.FnCmpXchg && row.Fn != isa.FnLoadAcq
}

func (a *allocation) find(i int) int {
	for a.into[i] != i {
		i = a.into[i]
	}
	return i
}

// merge makes j part of i, and returns what undoes it.
func (a *allocation) merge(i, j int) (undo func()) {
	near := make([][]uint64, len(a.near))
	for k := range a.near {
		near[k] = a.near[k]
	}
	forbid, fixed, own := a.forbid[i], a.fixed[i], a.own[i]
	if a.fixed[j] {
		a.own[i] = a.own[j]
	}
	a.fixed[i] = a.fixed[i] || a.fixed[j]
	a.forbid[i] |= a.forbid[j]
	row := slices.Clone(a.near[i])
	for k, bitsOf := range a.near[j] {
		row[k] |= bitsOf
		for bitsOf != 0 {
			b := bits.TrailingZeros64(bitsOf)
			bitsOf &= bitsOf - 1
			n := slices.Clone(a.near[64*k+b])
			n[i/64] |= 1 << (i % 64)
			a.near[64*k+b] = n
		}
	}
	a.near[i] = row
	a.into[j] = i
	return func() {
		a.near, a.forbid[i], a.fixed[i], a.own[i], a.into[j] = near, forbid, fixed, own, j
	}
}
