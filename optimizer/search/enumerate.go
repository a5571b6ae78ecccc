package search

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/slice"
)

// Enumerator finds shorter terms for terms. It remembers what it found, by the
// term, so that equal windows of a whole suite cost one search; windows with
// the same facts share the bank of values.
type Enumerator struct {
	MCPU int
	// Steps counts evaluations on a vector of tests.
	Steps int64

	banks map[string]*bank
	keys  []string // of the banks, the oldest first
	own   bank     // of the problem at hand
	room  room
	cache map[string][]slice.Term
}

// Problem is what a replacement is sought for.
type Problem struct {
	Term  slice.Term
	Facts []slice.Fact
	Mask  uint64
	// Slots that the code at hand takes.
	Slots int
}

// ProblemOf is the problem of a site, its facts rounded so that more sites
// share it.
func ProblemOf(s *slice.Site) *Problem {
	p := &Problem{Term: s.Term, Mask: s.Mask, Slots: s.Slots}
	for _, f := range s.Facts {
		if f.Ones|f.Zeros != ^uint64(0) { // no constant
			n := bits.LeadingZeros64(^f.Zeros) &^ 7
			f.Zeros, f.Ones = ^(^uint64(0) >> n), 0
		}
		p.Facts = append(p.Facts, f)
	}
	return p
}

// Key identifies the problem.
func (p *Problem) Key() string {
	b := []byte(p.Term.Key(true) + factsKey(p.Facts))
	b = binary.AppendUvarint(b, p.Mask)
	return string(binary.AppendUvarint(b, uint64(p.Slots)))
}

func factsKey(fs []slice.Fact) string {
	var b []byte
	for _, f := range fs {
		b = binary.AppendUvarint(b, f.Zeros)
		b = binary.AppendUvarint(b, f.Ones)
		b = append(b, byte(b2u(f.Pointer)))
	}
	return string(b)
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// maxFound bounds the terms that are returned for a problem.
const maxFound = 6

// Shorter lists terms that agree with the problem's on all tests and take fewer
// operations than it has slots, the shortest first.
func (e *Enumerator) Shorter(p *Problem) []slice.Term {
	if e.cache == nil {
		e.cache, e.banks = map[string][]slice.Term{}, map[string]*bank{}
	}
	key := p.Key()
	if got, ok := e.cache[key]; ok {
		return got
	}
	var found []slice.Term
	if p.Slots >= 2 && pointersKept(&p.Term, p.Facts) {
		switch {
		case p.Term.IsBranch():
			found = e.branch(p)
		case p.Term.IsStore():
			found = e.keep(p, slices.Concat(direct(p), e.joined(p), halved(p)))
		default:
			found = e.value(p)
		}
	}
	e.cache[key] = found
	return found
}

// Knows reports whether the problem was solved before.
func (e *Enumerator) Knows(p *Problem) bool {
	_, ok := e.cache[p.Key()]
	return ok
}

// pointersKept: pointers are only added to, loaded from and stored to, or stored
// whole, as the kernel allows.
func pointersKept(t *slice.Term, facts []slice.Fact) bool {
	ptr := make([]bool, len(t.Nodes))
	is := func(r slice.Ref) bool {
		if i, ok := r.IsInput(); ok {
			return facts[i].Pointer
		}
		return r != slice.None && ptr[r]
	}
	for i, n := range t.Nodes {
		a, b := is(n.A), is(n.B)
		if !a && !b {
			continue
		}
		row := isa.RowOf(n.Op)
		if row.Kind == isa.KindLoad || row.Kind == isa.KindStore && (!b || row.Width == 64) {
			continue
		}
		if row.Kind != isa.KindALU || row.Width != 64 || row.Fn != isa.FnAdd && row.Fn != isa.FnSub || a && b || b && row.Fn == isa.FnSub {
			return false
		}
		ptr[i] = true
	}
	return true
}

// maxBanks bounds the banks kept at a time, of some 9 MB each: sites with the same
// facts mostly follow each other.
const maxBanks = 8

func (e *Enumerator) bank(facts []slice.Fact, depth int) *bank {
	key := fmt.Sprint(depth) + factsKey(facts)
	if b := e.banks[key]; b != nil {
		return b
	}
	b := &bank{vals: vectors{room: &e.room}}
	if len(e.keys) == maxBanks { // the oldest makes room, and gives its memory
		b = e.banks[e.keys[0]]
		delete(e.banks, e.keys[0])
		e.keys = slices.Delete(e.keys, 0, 1)
	}
	b.fill(facts, e.MCPU, depth, &e.Steps)
	e.banks[key], e.keys = b, append(e.keys, key)
	return b
}

func (e *Enumerator) value(p *Problem) []slice.Term {
	if p.Term.Root < 0 {
		return nil
	}
	depth := 1
	if p.Slots > 3 {
		depth = 2
	}
	b := e.bank(p.Facts, depth)
	x := &e.own
	x.extend(b, p.Term.Immediates(), leaves(&p.Term, e.MCPU), p.Term.Inputs, e.MCPU, depth)
	s := &solver{bank: x, inputs: p.Term.Inputs, mcpu: e.MCPU, limit: p.Slots - 1}
	in := make([]interp.Lanes, p.Term.Inputs)
	scratch := make([]interp.Lanes, len(p.Term.Nodes))
	var goal vector
	for k := range goal {
		for i := range in {
			in[i] = x.val(int32(i))[k]
		}
		goal[k] = *p.Term.Run(in, nil, scratch)
	}
	s.solve(&goal, p.Mask, nil, 0)
	slices.SortStableFunc(s.found, func(a, b found) int { return a.cost - b.cost })
	return e.keep(p, s.found)
}

// keep makes terms of what was found and drops those that more tests refute.
func (e *Enumerator) keep(p *Problem, list []found) []slice.Term {
	t := newTester(p)
	var out []slice.Term
	seen := map[string]bool{p.Term.Key(true): true}
	for _, f := range list {
		if len(out) >= maxFound {
			break
		}
		term := f.term
		if k := term.Key(true); seen[k] || !pointersKept(&term, p.Facts) {
			continue
		} else {
			seen[k] = true
		}
		if e.Steps += 16; t.agrees(&term) {
			out = append(out, term)
		}
	}
	return out
}

// tester holds tests made for one problem, unlike those of a bank.
type tester struct {
	p       *Problem
	in      [][]interp.Lanes
	memory  []*slice.Memory
	want    []interp.Lanes
	scratch []interp.Lanes
}

const testBlocks = 16

func newTester(p *Problem) *tester {
	t := &tester{p: p, scratch: make([]interp.Lanes, 64)}
	r := rand.New(rand.NewPCG(0x7e57, uint64(p.Slots)))
	near := nearby(&p.Term)
	for range testBlocks {
		in := make([]interp.Lanes, p.Term.Inputs)
		for i := range in {
			in[i] = drawLanes(r, p.Facts[i], near, i)
		}
		t.in = append(t.in, in)
		m := memoryNear(r, &p.Term, near, in)
		t.memory = append(t.memory, m)
		t.want = append(t.want, *p.Term.Run(in, m, t.scratch))
	}
	return t
}

func (t *tester) agrees(x *slice.Term) bool {
	if len(x.Nodes) > len(t.scratch) {
		return false
	}
	for k, in := range t.in {
		got := x.Run(in, t.memory[k], t.scratch)
		for i := range got {
			if (got[i]^t.want[k][i])&t.p.Mask != 0 {
				return false
			}
		}
	}
	return true
}

// Agrees reports whether a term with the problem's inputs may stand for its
// term, as far as tests tell.
func (p *Problem) Agrees(t *slice.Term) bool { return newTester(p).agrees(t) }

// related are a window's immediates and what is often made of them.
func related(own []int64) []int64 {
	out := slices.Clone(own)
	for _, a := range own {
		out = append(out, -a)
		if a > 0 && a < 64 {
			out = append(out, 64-a, 32-a)
		}
		for _, b := range own {
			if a != b {
				out = append(out, a+b, a-b)
			}
			if b > 0 && b < 64 {
				out = append(out, a<<b, int64(uint64(a)>>b), int64(uint64(uint32(a))>>b))
			}
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(v int64) bool { return v != int64(int32(v)) || v == 0 })
}

// nearby are values of inputs near which a term's comparisons change.
func nearby(t *slice.Term) []uint64 {
	var out []uint64
	imms := t.Immediates()
	for _, a := range imms {
		for _, d := range []int64{-1, 0, 1} {
			v := uint64(a + d)
			out = append(out, v, v&0xffffffff, uint64(bits.ReverseBytes16(uint16(v))), uint64(bits.ReverseBytes32(uint32(v))), bits.ReverseBytes64(v))
			for _, s := range imms {
				if s > 0 && s < 64 {
					out = append(out, v<<s, v>>s, v<<s|(1<<s-1))
				}
			}
		}
		for _, s := range imms {
			out = append(out, uint64(a-s), uint64(a+s))
		}
	}
	return out
}
