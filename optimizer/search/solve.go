package search

import (
	"math"
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/slice"
)

// found is a term that agrees on the bank's tests.
type found struct {
	term slice.Term
	cost int // operations
}

// last is an operation at the root, taken off the goal.
type last struct {
	op  isa.Op
	imm int64
}

// solver looks for terms of at most limit operations that equal a goal.
type solver struct {
	bank   *bank
	inputs int
	mcpu   int
	limit  int
	found  []found
}

// maxTries bounds what is collected for one problem.
const maxTries = 64

// solve finds values of the bank that equal goal under mask, directly, with one
// more operation whose immediate is derived from both, or with two values
// joined; then it takes an operation off the goal and does the same for what
// is left. tail are the operations taken off, innermost last.
func (s *solver) solve(goal *vector, mask uint64, tail []last, depth int) {
	if len(tail) > s.limit || len(s.found) >= maxTries || mask == 0 {
		return
	}
	s.bank.scan(goal, mask, func(i int32) {
		if s.bank.val(i).equal(goal, mask) {
			s.keep(i, nil, tail)
		}
	})
	if len(tail)+1 <= s.limit {
		s.constant(goal, mask, tail)
		s.immediates(goal, mask, tail)
		if depth < 2 {
			s.join(goal, mask, tail)
		}
	}
	if depth >= 2 || len(tail)+1 > s.limit {
		return
	}
	s.peel(goal, mask, func(g *vector, m uint64, l last) {
		s.solve(g, m, append(tail[:len(tail):len(tail)], l), depth+1)
	})
}

// constant: the goal is the same in all tests.
func (s *solver) constant(goal *vector, mask uint64, tail []last) {
	c := goal[0][0]
	for k := range goal {
		for _, x := range goal[k] {
			if (x^c)&mask != 0 {
				return
			}
		}
	}
	// Of the bits that do not matter, the sign extension makes the shortest.
	v := c & mask
	if w := bits.Len64(mask); w <= 32 {
		v = uint64(int64(int32(v)))
	}
	var b slice.Builder
	s.record(&b, b.Const(int64(v)), 1, tail)
}

// immediates tries one operation with an immediate on each value.
func (s *solver) immediates(goal *vector, mask uint64, tail []last) {
	g0, g1 := goal[0][0], goal[0][1]
	all, any := ^uint64(0), uint64(0)
	for k := range goal {
		for _, x := range goal[k] {
			all &= x
			any |= x
		}
	}
	room := int8(min(s.limit-len(tail)-1, math.MaxInt8))
	low := bits.Len64(mask) // carries come from below only
	under := ^uint64(0) >> (64 - low)
	*s.bank.steps += int64(s.bank.len()) / 16
	s.bank.each(func(i int32, x0, x1 uint64) {
		add := (g0-x0)&under == (g1-x1)&under
		xor := (g0^x0)&mask == (g1^x1)&mask
		and, or := (g0&^x0|g1&^x1)&mask == 0, (x0&^g0|x1&^g1)&mask == 0
		if !add && !xor && !and && !or || s.bank.at(i).cost > room || len(s.found) >= maxTries {
			return
		}
		if d := (g0 - x0) & under; add && d != 0 && mask == under {
			s.try(i, isa.FnAdd, int64(d<<(64-low))>>(64-low), goal, mask, tail)
		}
		if d := (g0 ^ x0) & mask; xor && d != 0 {
			s.try(i, isa.FnXor, signFill(d, mask), goal, mask, tail)
		}
		if and {
			s.try(i, isa.FnAnd, signFill(any&mask, mask), goal, mask, tail)
			s.try(i, isa.FnAnd, signFill((any|^s.bank.union(i))&mask, mask), goal, mask, tail)
		}
		if or && all&mask != 0 {
			s.try(i, isa.FnOr, signFill(all&mask, mask), goal, mask, tail)
		}
	})
}

// union is the or of a value over all tests.
func (b *bank) union(i int32) uint64 {
	u := uint64(0)
	for k := range b.val(i) {
		for _, x := range b.val(i)[k] {
			u |= x
		}
	}
	return u
}

// signFill sets the bits that do not matter above a mask so that the value is
// a sign-extended immediate, if that can be.
func signFill(v, mask uint64) int64 {
	if int64(v) == int64(int32(v)) {
		return int64(v)
	}
	if w := bits.Len64(mask); w <= 32 {
		return int64(int32(uint32(v)))
	}
	return int64(v)
}

// try checks one operation with an immediate, in 64 bits and in 32.
func (s *solver) try(i int32, fn isa.Fn, imm int64, goal *vector, mask uint64, tail []last) {
	for _, w := range []uint8{64, 32} {
		c := imm
		if w == 32 && uint64(imm)>>32 == 0 {
			c = int64(int32(imm))
		}
		op := isa.ALU(fn, w, true)
		if c != int64(int32(c)) || int(isa.RowOf(op).MinCPU) > s.mcpu {
			continue
		}
		if s.holds(op, uint64(c), s.bank.val(i), goal, mask) {
			s.keep(i, []last{{op, c}}, tail)
			return
		}
	}
}

func (s *solver) holds(op isa.Op, imm uint64, v, goal *vector, mask uint64) bool {
	*s.bank.steps++
	var out interp.Lanes
	for k := range v {
		interp.Lockstep(op, imm, &v[k], &v[k], &out)
		for i := range out {
			if (out[i]^goal[k][i])&mask != 0 {
				return false
			}
		}
	}
	return true
}

// join looks for two values with one operation between them: for each value of
// the bank, the other one that would be needed is looked up.
func (s *solver) join(goal *vector, mask uint64, tail []last) {
	if mask != ^uint64(0) {
		return // the index holds whole values
	}
	room := int8(min(s.limit-len(tail)-1, math.MaxInt8))
	s.bank.each(func(i int32, x0, x1 uint64) {
		if s.bank.at(i).cost > room || len(s.found) >= maxTries {
			return
		}
		*s.bank.steps += 3
		for _, fn := range []isa.Fn{isa.FnAdd, isa.FnXor, isa.FnSub} {
			if s.bank.may(other(fn, goal[0][0], x0), other(fn, goal[0][1], x1)) {
				s.meet(i, fn, goal, room, tail)
			}
		}
	})
}

// other is what a goal takes besides x, which comes first.
func other(fn isa.Fn, goal, x uint64) uint64 {
	switch fn {
	case isa.FnAdd:
		return goal - x
	case isa.FnXor:
		return goal ^ x
	}
	return x - goal
}

// meet looks the value up that value i needs to make the goal.
func (s *solver) meet(i int32, fn isa.Fn, goal *vector, room int8, tail []last) {
	v := s.bank.val(i)
	var need vector
	for k := range need {
		for l := range need[k] {
			need[k][l] = other(fn, goal[k][l], v[k][l])
		}
	}
	j, ok := s.bank.find(&need)
	if !ok || j < i && fn != isa.FnSub || s.bank.at(i).cost+s.bank.at(j).cost > room {
		return
	}
	var b slice.Builder
	cost := s.bank.at(i).cost + s.bank.at(j).cost
	s.record(&b, b.Add(isa.ALU(fn, 64, false), s.build(&b, i), s.build(&b, j), 0), int(cost)+1, tail)
}

// peel takes operations off the goal that may have been the last ones.
func (s *solver) peel(goal *vector, mask uint64, do func(*vector, uint64, last)) {
	any := uint64(0)
	for k := range goal {
		for _, x := range goal[k] {
			any |= x
		}
	}
	with := func(op isa.Op, imm int64, m uint64, f func(x uint64) uint64) {
		if op == 0 || int(isa.RowOf(op).MinCPU) > s.mcpu {
			return
		}
		var g vector
		for k := range g {
			for i, x := range goal[k] {
				g[k][i] = f(x)
			}
		}
		*s.bank.steps++
		do(&g, m, last{op, imm})
	}
	same := func(x uint64) uint64 { return x }
	// What is shifted out does not matter, what is shifted in is zero.
	for _, n := range amounts(bits.TrailingZeros64(any & mask)) {
		with(isa.ALU(isa.FnLsh, 64, true), int64(n), mask>>n, func(x uint64) uint64 { return x >> n })
	}
	zeros := bits.LeadingZeros64(any & mask)
	if mask>>63 == 1 {
		for _, n := range amounts(zeros) {
			with(isa.ALU(isa.FnRsh, 64, true), int64(n), mask<<n, func(x uint64) uint64 { return x << n })
		}
		if zeros >= 32 {
			with(isa.ALU(isa.FnMov, 32, false), 0, mask&0xffffffff, same)
			with(isa.ALU(isa.FnNeg, 32, true), 0, mask&0xffffffff, func(x uint64) uint64 { return -x })
			for _, n := range amounts(min(31, zeros-32)) {
				with(isa.ALU(isa.FnRsh, 32, true), int64(n), (mask<<n)&0xffffffff, func(x uint64) uint64 { return x << n })
			}
			with(isa.ALUBits(isa.FnToBE, 64, 32), 0, uint64(bits.ReverseBytes32(uint32(mask))), func(x uint64) uint64 { return uint64(bits.ReverseBytes32(uint32(x))) })
		}
		if zeros >= 48 {
			with(isa.ALUBits(isa.FnToBE, 64, 16), 0, uint64(bits.ReverseBytes16(uint16(mask))), func(x uint64) uint64 { return uint64(bits.ReverseBytes16(uint16(x))) })
		}
	}
	for _, w := range []uint8{8, 16, 32} {
		if isSigned(goal, mask, w) {
			with(isa.ALUBits(isa.FnMovSX, 64, w), 0, 1<<w-1, same)
		}
	}
	with(isa.ALUBits(isa.FnToBE, 64, 64), 0, bits.ReverseBytes64(mask), bits.ReverseBytes64)
	if m := any & mask; m != mask && int64(m) == int64(int32(m)) {
		with(isa.ALU(isa.FnAnd, 64, true), int64(m), m, same)
	}
}

// amounts are the shifts by which a value with n zeros at an end may have been
// made: all of them, or some bytes.
func amounts(n int) []int {
	n = min(n, 63)
	if n == 0 {
		return nil
	}
	out := []int{n}
	for k := 8; k < n; k += 8 {
		out = append(out, k)
	}
	return out
}

// isSigned: the goal is the sign extension of its w low bits.
func isSigned(goal *vector, mask uint64, w uint8) bool {
	for k := range goal {
		for _, x := range goal[k] {
			if (x^uint64(signed(x, w)))&mask != 0 {
				return false
			}
		}
	}
	return true
}

// keep records value i with the operations of more and tail on top.
func (s *solver) keep(i int32, more, tail []last) {
	var b slice.Builder
	r := s.build(&b, i)
	for _, l := range more {
		r = b.Add(l.op, r, r, l.imm)
	}
	s.record(&b, r, int(s.bank.at(i).cost)+len(more), tail)
}

func (s *solver) record(b *slice.Builder, r slice.Ref, cost int, tail []last) {
	for k := len(tail) - 1; k >= 0; k-- {
		r = b.Add(tail[k].op, r, r, tail[k].imm)
	}
	if cost += len(tail); cost > s.limit || len(s.found) >= maxTries {
		return
	}
	t, from := b.Term(r)
	s.found = append(s.found, found{renumber(t, from, s.inputs), cost})
}

// renumber gives a term the inputs of the problem: input i of t was from[i].
func renumber(t slice.Term, from []int, inputs int) slice.Term {
	ref := func(r slice.Ref) slice.Ref {
		if i, ok := r.IsInput(); ok {
			return slice.Input(from[i])
		}
		return r
	}
	for i := range t.Nodes {
		t.Nodes[i].A, t.Nodes[i].B = ref(t.Nodes[i].A), ref(t.Nodes[i].B)
	}
	t.Root = ref(t.Root)
	t.Inputs = inputs
	return t
}

// build adds value i of the bank to b.
func (s *solver) build(b *slice.Builder, i int32) slice.Ref {
	e := s.bank.at(i)
	if e.op == 0 {
		return slice.Input(int(i))
	}
	if e.a < 0 { // a load
		return b.Add(e.op, slice.None, s.build(b, e.b), int64(e.imm))
	}
	x := s.build(b, e.a)
	y := x // operations of the source operand alone read it
	if e.b >= 0 {
		y = s.build(b, e.b)
	}
	return b.Add(e.op, x, y, int64(e.imm))
}
