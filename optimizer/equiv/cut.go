package equiv

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// cut is a pair of program points (instructions, before them) with the relation
// that holds there over all ways found so far.
//
// Locations are numbered: the registers of P, those of Q, the stack slots of
// P, those of Q, the tokens, then memory classes as they turn up.
type cut struct {
	id     int
	at, qt int // in P, in Q
	seen   bool
	locs   []location
	mem    map[string]int // location of each memory class
	facts  []smt.Term
	queued bool
	prefix string
}

// location is what is known of one place at a cut.
type location struct {
	// rep is the smallest location that held an equal term on every way.
	rep int
	// fixed is the term that was here on every way, 0 when it differed.
	fixed smt.Term
	// none: on no way was anything here that may be read. Where that is so on some
	// ways, "nothing" counts as a value: p passed the verifier, so what it reads
	// does not come from there.
	none bool
	// same: of a stack slot: its bytes are those of the frame's token on every way.
	same bool
	// Of a representative: bits that were 0 on every way; the largest value that
	// what was decided on each way allows, which may grow raises times; what it
	// points into, constants aside (a NULL does not make a pointer something else).
	zeros   uint64
	most    uint64
	raises  int
	region  symex.Region
	pointed bool
}

const numRegs = int(isa.NumRegs)

// The shared tokens.
const (
	sharedEpoch = iota
	sharedEffect
	sharedMapSet
	frameOfP // what is in the stack bytes that are not known one by one
	frameOfQ
	numShared
)

func (s *sim) newCut(at, qt int) *cut {
	k := &cut{id: len(s.order), at: at, qt: qt, mem: map[string]int{}}
	// No other proof in this context has these names: that terms do not mention
	// a cut's variables before it is entered is relied on.
	k.prefix = fmt.Sprintf("%s%d.%d.", cutName, s.v.sims, k.id)
	if s.alone() {
		k.prefix = s.names[at]
	}
	s.cuts[[2]int{at, qt}] = k
	s.order = append(s.order, k)
	s.stats.Cuts++
	return k
}

// slotTerm is the value of a stack slot; 0 if all its bytes are those of the
// frame's token.
func (s *sim) slotTerm(st *symex.State, sl slot) smt.Term {
	whole := true
	for i := range sl.n {
		whole = whole && st.Stack[sl.at+i] == 0
	}
	if whole {
		return 0
	}
	t := s.e.StackByte(st, sl.at)
	for i := 1; i < sl.n; i++ {
		t = s.c.Concat(s.e.StackByte(st, sl.at+i), t)
	}
	return t
}

// terms lists what the locations of k hold at the ends of two paths. The
// memory of both was found equal before; P's is used.
func (s *sim) terms(k *cut, ps, qs *symex.State) []smt.Term {
	out := make([]smt.Term, 0, 2*numRegs+2*len(s.slots)+numShared+len(k.mem))
	out = append(out, ps.Regs[:]...)
	out = append(out, qs.Regs[:]...)
	for _, sl := range s.slots {
		out = append(out, s.slotTerm(ps, sl))
	}
	if qs == ps {
		out = append(out, out[2*numRegs:]...)
	} else {
		for _, sl := range s.slots {
			out = append(out, s.slotTerm(qs, sl))
		}
	}
	out = append(out, ps.Epoch, ps.Effect, ps.MapSet, ps.Frame, qs.Frame)
	byLoc := make([]string, len(k.mem))
	for class, i := range k.mem {
		byLoc[i-len(out)] = class
	}
	for _, class := range byLoc {
		out = append(out, s.e.Freeze(ps, class))
	}
	return out
}

// join merges a way into the cut and reports whether what is known there got
// weaker, or was set for the first time.
func (s *sim) join(k *cut, ps, qs *symex.State, facts []smt.Term) bool {
	changed := false
	// Classes new to this cut: the ways before had them as the epoch left them.
	for _, class := range memClasses(ps, qs) {
		if _, ok := k.mem[class]; ok {
			continue
		}
		n := 2*numRegs + 2*len(s.slots) + numShared + len(k.mem)
		k.mem[class] = n
		if k.seen {
			// A variable of this cut means something else on the next way.
			l := location{rep: n}
			if e := &k.locs[2*numRegs+2*len(s.slots)+sharedEpoch]; e.fixed != 0 {
				l.fixed = s.c.UF("mem:"+class, 0, e.fixed)
			}
			k.locs = append(k.locs, l)
			changed = true
		}
	}
	terms := s.terms(k, ps, qs)
	keys := s.keys(terms)
	bounds := s.bounds(facts)
	if !k.seen {
		k.seen = true
		first := make(map[smt.Term]int, len(terms))
		for i, t := range terms {
			slot := s.isSlot(i)
			l := location{rep: i, none: t == 0 && !slot, same: t == 0 && slot}
			t := keys[i]
			if r, ok := first[t]; ok {
				l.rep = r
			} else {
				first[t] = i
				l.zeros, l.region, l.pointed = s.describe(terms[i], s.isSlot(i))
				l.most = s.most(terms[i], bounds)
			}
			l.fixed = terms[i]
			k.locs = append(k.locs, l)
		}
		k.facts = facts
		return true
	}
	type key struct {
		rep int
		t   smt.Term
	}
	reps := make(map[key]int, len(terms))
	old := slices.Clone(k.locs)
	for i, t := range terms {
		l := &k.locs[i]
		kk := key{old[i].rep, keys[i]}
		r, ok := reps[kk]
		if !ok {
			r = i
			reps[kk] = i
			o := old[old[i].rep]
			z, region, pointed := s.describe(t, s.isSlot(i))
			l.zeros = o.zeros & z
			l.region, l.pointed = meet(o.region, o.pointed, region, pointed)
			l.most, l.raises = raise(o, s.most(t, bounds))
			changed = changed || l.zeros != o.zeros || l.most != o.most || l.region != o.region || l.pointed != o.pointed
		}
		changed = changed || r != old[i].rep
		l.rep = r
		if l.fixed != 0 && l.fixed != t {
			l.fixed = 0
			changed = true
		}
		if t != 0 && (l.none || l.same) {
			l.none, l.same = false, false
			changed = true
		}
	}
	kept := k.facts[:0:0]
	now := make(map[smt.Term]bool, len(facts))
	for _, f := range facts {
		now[f] = true
	}
	for _, f := range k.facts {
		if now[f] {
			kept = append(kept, f)
		}
	}
	changed = changed || len(kept) != len(k.facts)
	k.facts = kept
	return changed
}

func (s *sim) isSlot(i int) bool { return i >= 2*numRegs && i < 2*numRegs+2*len(s.slots) }

// keys gives each location what tells its value from others: its term, or, for
// the same bytes of the same frame, a number of their own.
func (s *sim) keys(terms []smt.Term) []smt.Term {
	n := len(s.slots)
	base := 2 * numRegs
	differ := terms[base+2*n+frameOfP] != terms[base+2*n+frameOfQ]
	out := slices.Clone(terms)
	for j := range 2 * n {
		if out[base+j] != 0 {
			continue
		}
		out[base+j] = -smt.Term(1 + j%n)
		if differ {
			out[base+j] = -smt.Term(1 + j)
		}
	}
	return out
}

func memClasses(ps, qs *symex.State) []string {
	all := append(ps.Classes(), qs.Classes()...)
	slices.Sort(all)
	return slices.Compact(all)
}

// describe gives the known zero bits of a term and what it points into; a
// constant points nowhere in particular. What a slot holds without a term of its
// own may be anything.
func (s *sim) describe(t smt.Term, slot bool) (zeros uint64, r symex.Region, pointed bool) {
	if t == 0 && slot {
		return 0, symex.Region{Kind: symex.Any}, true
	}
	if t == 0 {
		return 0, symex.Region{}, false
	}
	if s.c.Width(t) == 0 {
		return 0, symex.Region{}, true
	}
	zeros, _ = s.c.Known(t)
	if _, ok := s.c.IsConst(t); ok {
		return zeros, symex.Region{}, false
	}
	return zeros, s.e.RegionOf(t), true
}

// meet combines what two ways point into.
func meet(a symex.Region, aKnown bool, b symex.Region, bKnown bool) (symex.Region, bool) {
	stack := func(r symex.Region) bool { return r.Kind == symex.Stack || r.Kind == symex.Any }
	switch {
	case !aKnown:
		return b, bKnown
	case !bKnown || a == b:
		return a, true
	case a.Kind == symex.MapValue && b.Kind == symex.MapValue:
		return symex.Region{Kind: symex.MapValue}, true
	case stack(a) || stack(b):
		return symex.Region{Kind: symex.Any}, true
	}
	return symex.Region{}, true
}

// value is the term that stands for location i on entering the cut. What bounds
// it beyond its width is added to within; a token (w is 0) has no bounds.
func (s *sim) value(k *cut, i int, w uint8, within *[]smt.Term) smt.Term {
	l := &k.locs[i]
	switch {
	case l.none:
		return 0
	case l.fixed != 0:
		return l.fixed
	}
	name := fmt.Sprintf("%s%d", k.prefix, l.rep)
	if w == 0 {
		return s.c.UF(name, 0)
	}
	rep := &k.locs[l.rep]
	lead := leadingOnes(rep.zeros, w)
	if lead >= w {
		return s.c.Const(0, w)
	}
	t := s.c.Var(fmt.Sprintf("%s/%d", name, w-lead), w-lead)
	if full := ^uint64(0) >> (64 - w + lead); rep.most < full {
		*within = append(*within, s.c.Ult(t, s.c.Const(rep.most+1, w-lead)))
	}
	if w == 64 && lead == 0 {
		if rep.region.Kind != symex.Scalar {
			s.e.SetRegion(t, rep.region)
		} else {
			s.e.ClearRegion(t)
		}
	}
	return s.c.ZExt(t, w)
}

// leadingOnes counts the uppermost bits of x, which has w of them, that are 1.
func leadingOnes(x uint64, w uint8) uint8 { return uint8(bits.LeadingZeros64(^(x << (64 - w)))) }

// enter makes the two states that stand for all ways to the cut.
func (s *sim) enter(k *cut) (ps, qs *symex.State) {
	ps, qs = symex.NewState(), symex.NewState()
	var within []smt.Term
	for r := range numRegs {
		ps.Regs[r] = s.value(k, r, 64, &within)
		qs.Regs[r] = s.value(k, numRegs+r, 64, &within)
	}
	base := 2 * numRegs
	tokens := base + 2*len(s.slots)
	ps.Frame, qs.Frame = s.value(k, tokens+frameOfP, 0, nil), s.value(k, tokens+frameOfQ, 0, nil)
	for side, st := range []*symex.State{ps, qs} {
		for j, sl := range s.slots {
			at := base + side*len(s.slots) + j
			if k.locs[at].same {
				continue
			}
			t := s.value(k, at, uint8(8*sl.n), &within)
			for i := range sl.n {
				s.e.SetStackByte(st, sl.at+i, s.c.Extract(t, uint8(8*i), 8))
			}
		}
	}
	slices.Sort(within) // P and Q share variables
	within = slices.Compact(within)
	for _, st := range []*symex.State{ps, qs} {
		st.Epoch = s.value(k, tokens+sharedEpoch, 0, nil)
		st.Effect = s.value(k, tokens+sharedEffect, 0, nil)
		st.MapSet = s.value(k, tokens+sharedMapSet, 0, nil)
		for _, class := range slices.Sorted(maps.Keys(k.mem)) { // terms are numbered as they are made
			st.Mem[class] = symex.Chain{Token: s.value(k, k.mem[class], 0, nil)}
		}
		st.Path = append(slices.Clone(k.facts), within...)
	}
	return ps, qs
}
