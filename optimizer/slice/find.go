package slice

import (
	"math/bits"
	"slices"

	"github.com/superbpf/superbpf/optimizer/absint"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/pass"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// MaxRemoved bounds the instructions of a slice beside its root, MaxInputs its
// inputs, maxTrace how far it looks back.
const (
	MaxRemoved = 8
	MaxInputs  = 4
	maxTrace   = 40
)

// Site is a slice of a function.
type Site struct {
	Term Term
	// Facts holds what is known of each input.
	Facts []Fact
	// Mask holds the bits of the value that matter; all ones for a branch.
	Mask uint64
	// In is the register that holds each input at the root.
	In   []isa.Reg
	Root int // instruction
	// Removed are the instructions that go when the root is replaced.
	Removed []int
	// Dst is the register that gets the value.
	Dst isa.Reg
	// Free registers may be overwritten at the root; Keep must not be.
	Free isa.RegSet
	// Slots of the removed instructions and the root.
	Slots int
	// Span lists all instructions from the first removed one to the root.
	Span []int
}

// Fact is what is known of an input. Pointers take no part in anything but
// additions and comparisons.
type Fact struct {
	Zeros, Ones uint64 // bits known to be 0, to be 1
	Pointer     bool
}

type finder struct {
	f      *prog.Func
	g      *prog.CFG
	live   *prog.Liveness
	demand [][isa.NumRegs]uint64
	facts  *absint.Result
	used   isa.RegSet // registers that the function writes anyway
	trace  []int
	out    []*Site
}

// Find lists the slices of f, larger ones of a root first.
func Find(f *prog.Func) []*Site {
	g := prog.NewCFG(f)
	x := &finder{f: f, g: g, live: prog.NewLiveness(g), demand: pass.Demanded(g), facts: absint.Analyze(f, absint.Options{})}
	for k := range f.Insns {
		x.used |= f.Insns[k].Def()
	}
	for _, b := range g.Order {
		for k := g.Blocks[b].From; k < g.Blocks[b].To; k++ {
			if x.rootable(k) && x.facts.At(k).Reachable {
				x.grow(k)
			}
		}
	}
	return x.out
}

func (x *finder) rootable(k int) bool {
	in := &x.f.Insns[k]
	switch in.Row().Kind {
	case isa.KindALU:
		return !in.Frozen() && x.live.After[k].Has(in.Dst)
	case isa.KindCondJump:
		return !in.Frozen()
	case isa.KindLoad:
		return x.live.After[k].Has(in.Dst) && x.loadable(k)
	case isa.KindStore:
		return x.storable(k)
	}
	return false
}

// removable: the instruction at trace position q may be part of a slice.
func (x *finder) removable(q int) bool {
	in := &x.f.Insns[x.trace[q]]
	switch in.Row().Kind {
	case isa.KindALU:
		return in.Ref == nil
	case isa.KindLoadImm:
		return in.Ref == nil && in.Row().Form == isa.FormConst
	case isa.KindLoad:
		return x.loadable(x.trace[q]) && x.unwritten(q)
	}
	return false
}

// look fills trace with the instructions that must have run before root, and
// root.
func (x *finder) look(root int) {
	x.trace = x.trace[:0]
	b := x.g.BlockOf[root]
	to := root + 1
	for {
		from := x.g.Blocks[b].From
		for k := to - 1; k >= from && len(x.trace) < maxTrace; k-- {
			x.trace = append(x.trace, k)
		}
		if len(x.trace) >= maxTrace || b == 0 || len(x.g.Blocks[b].Preds) != 1 {
			break
		}
		b = x.g.Blocks[b].Preds[0]
		if slices.Contains(x.trace, x.g.Blocks[b].From) {
			break // a loop
		}
		to = x.g.Blocks[b].To
	}
	slices.Reverse(x.trace)
}

// defBefore is the position in the trace of the last definition of r before
// position p, or -1.
func (x *finder) defBefore(r isa.Reg, p int) int {
	for q := p - 1; q >= 0; q-- {
		if x.f.Insns[x.trace[q]].Def().Has(r) {
			return q
		}
	}
	return -1
}

// onlyWithin reports whether the result of the instruction at trace position q
// is read by members of the slice alone.
func (x *finder) onlyWithin(q int, in map[int]bool) bool {
	r := x.f.Insns[x.trace[q]].Dst
	last := len(x.trace) - 1
	for p := q + 1; p <= last; p++ {
		i := &x.f.Insns[x.trace[p]]
		if i.Use().Has(r) && !in[p] {
			return false
		}
		if p < last && i.Target >= 0 {
			for _, s := range prog.Succs(x.f, x.trace[p]) {
				if s != x.trace[p+1] && x.live.Before[s].Has(r) {
					return false
				}
			}
		}
		if i.Def().Has(r) {
			return true
		}
	}
	return !x.live.After[x.trace[last]].Has(r)
}

// grow makes slices of root, a store also with others before it.
func (x *finder) grow(root int) {
	x.look(root)
	last := len(x.trace) - 1
	stores, cut := x.storesBefore()
	for _, n := range slices.Backward(cut) {
		in := map[int]bool{last: true}
		for _, q := range stores[:n] {
			in[q] = true
		}
		x.addDefinitions(in, MaxRemoved+n)
	}
	x.addDefinitions(map[int]bool{last: true}, MaxRemoved)
}

// addDefinitions makes slices by adding one defining instruction after the other to
// the members, the latest first.
func (x *finder) addDefinitions(in map[int]bool, most int) {
	blocked := map[int]bool{}
	var made []*Site
	made = append(made, x.sites(in)...)
	for len(in) <= most {
		next := -1
		for p := range in {
			i := &x.f.Insns[x.trace[p]]
			for r := isa.R0; r < isa.FP; r++ {
				if i.Use().Has(r) {
					if q := x.defBefore(r, p); q > next && !in[q] && !blocked[q] {
						next = q
					}
				}
			}
		}
		if next < 0 {
			break
		}
		if !x.removable(next) || !x.onlyWithin(next, in) {
			blocked[next] = true
			continue
		}
		in[next] = true
		made = append(made, x.sites(in)...)
	}
	slices.Reverse(made)
	x.out = append(x.out, made...)
}

// above are the bits that an instruction's result never has.
func above(row *isa.Row) uint64 {
	if row.Kind == isa.KindALU && row.Width == 32 || row.Kind == isa.KindLoad && !row.Signed && row.Width < 64 {
		return ^(1<<row.Width - 1)
	}
	return 0
}

// sites makes the slice of the members, in two forms if some inputs are known
// constants: as inputs and, later in the list, as constants.
func (x *finder) sites(in map[int]bool) []*Site {
	s := x.site(in, false)
	if s == nil {
		return nil
	}
	for _, f := range s.Facts {
		if f.Zeros|f.Ones == ^uint64(0) {
			return []*Site{s, x.site(in, true)}
		}
	}
	return []*Site{s}
}

// site makes the slice of the members, or nil if an input is gone by the root.
func (x *finder) site(in map[int]bool, fold bool) *Site {
	last := len(x.trace) - 1
	first := last
	for p := range in {
		first = min(first, p)
	}
	root := x.trace[last]
	s := &Site{Root: root, Mask: ^uint64(0)}
	var b Builder
	var regs []isa.Reg
	var facts []Fact
	at := map[int]Ref{}
	operand := func(p int, r isa.Reg) (Ref, bool) {
		q := x.defBefore(r, p)
		if ref, ok := at[q]; ok && q >= 0 {
			return ref, true
		}
		now := last
		for now = last - 1; now >= 0; now-- {
			if !in[now] && x.f.Insns[x.trace[now]].Def().Has(r) {
				break
			}
		}
		if max(now, -1) != q {
			return 0, false
		}
		if i := slices.Index(regs, r); i >= 0 {
			return Input(i), true
		}
		v := x.facts.At(x.trace[p]).Reg(r)
		if v.Kind == absint.Uninit {
			return 0, false
		}
		fact := Fact{Pointer: v.Kind.IsPointer()}
		if c, ok := v.Num.IsConst(); ok && v.Kind == absint.Scalar {
			fact.Zeros, fact.Ones = ^c, c
			if fold {
				return b.Const(int64(c)), true
			}
		} else if v.Kind == absint.Scalar {
			fact.Zeros = ^(v.Num.T.V | v.Num.T.M)
			if n := uint8(bits.LeadingZeros64(v.Num.UMax)); n > 0 {
				fact.Zeros |= ^(^uint64(0) >> n)
			}
		}
		if q >= 0 {
			fact.Zeros |= above(x.f.Insns[x.trace[q]].Row()) &^ fact.Ones
		}
		regs, facts = append(regs, r), append(facts, fact)
		return Input(len(regs) - 1), true
	}
	type placed struct {
		off int16
		ref Ref
	}
	var stores []placed
	var value, joined Ref
	for p := first; p <= last; p++ {
		if !in[p] {
			continue
		}
		i := &x.f.Insns[x.trace[p]]
		readsA, readsB := Reads(i.Row())
		a, c := None, None
		ok := true
		if readsA {
			a, ok = operand(p, i.Dst)
		}
		if readsB && ok {
			c, ok = operand(p, i.Src)
		}
		if !ok {
			return nil
		}
		op, imm := i.Op, i.Imm
		switch i.Row().Kind {
		case isa.KindStore:
			if i.Row().Imm { // a term has only one form
				op, c = isa.Store(i.Row().Width, false), b.Const(i.Imm)
			}
			imm = int64(i.Off)
		case isa.KindLoad:
			imm = int64(i.Off)
		}
		v := b.Add(op, a, c, imm)
		at[p] = v
		if i.Row().Kind == isa.KindStore {
			stores = append(stores, placed{i.Off, v})
		}
		value = v
		s.Slots += i.Slots()
		if p < last {
			s.Removed = append(s.Removed, x.trace[p])
		}
	}
	// They do not meet: one order is as good as another.
	slices.SortStableFunc(stores, func(a, b placed) int { return int(a.off) - int(b.off) })
	for k, s := range stores {
		if value = s.ref; k > 0 {
			value = b.Then(joined, s.ref)
		}
		joined = value
	}
	t, from := b.Term(value)
	if t.Inputs > MaxInputs {
		return nil
	}
	s.Term = t
	for _, i := range from {
		s.In = append(s.In, regs[i])
		s.Facts = append(s.Facts, facts[i])
	}
	s.Span = slices.Clone(x.trace[first:])
	r := &x.f.Insns[root]
	s.Free = isa.AllRegs.Without(isa.FP) &^ x.live.After[root] & (isa.CallerSaved | x.used)
	if k := r.Row().Kind; k == isa.KindALU || k == isa.KindLoad {
		s.Dst = r.Dst
		s.Mask = x.demand[root][r.Dst]
		s.Free = s.Free.With(r.Dst)
	}
	return s
}
