package search

import (
	"math/bits"
	"math/rand/v2"

	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/slice"
)

// blocks is how many lanes of tests a value is known on.
const blocks = 2

// vector is a value on all tests.
type vector [blocks]interp.Lanes

// entry is a value that costs operations: an input when op is zero.
type entry struct {
	op   isa.Op
	a, b int32
	imm  int32
	cost int8
}

// bank holds the values that few operations make of the inputs, each once,
// cheapest first. A local bank extends a shared one.
type bank struct {
	shared *bank
	off    int32
	list   []entry
	vals   vectors
	// first and second repeat two lanes of each value: a scan that fails there
	// never touches the rest.
	first, second []uint64
	index         places // by hash of all lanes
	seen          sieve  // of first and second
	steps         *int64
}

// pool are the immediates that every bank tries.
var (
	poolShifts = []int64{1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 31, 32, 40, 48, 56, 63}
	poolMasks  = []int64{1, 3, 7, 15, 0x7f, 0xff, 0xfff, 0xffff, 0x7fffffff, -2, -4, -8, -16}
	poolSums   = []int64{1, -1, 2, -2, 4, 8}
)

// Of these a second operation takes only the likeliest.
var (
	coreShifts = []int64{8, 16, 24, 32, 48, 56}
	coreMasks  = []int64{1, 0xff, 0xffff}
	coreSums   = []int64{1, -1}
)

// immediates is how many of the common immediates unary operations take.
type immediates uint8

const (
	ownOnly immediates = iota
	core
	full
)

// unary are the operations of one operand, with their immediates; extra are a
// window's own immediates.
func unary(mcpu int, size immediates, extra []int64) []entry {
	var out []entry
	shifts, masks, sums, pool := poolShifts, poolMasks, poolSums, size != ownOnly
	if size == core {
		shifts, masks, sums = coreShifts, coreMasks, coreSums
	}
	add := func(op isa.Op, imm int64) {
		if op != 0 && int(isa.RowOf(op).MinCPU) <= mcpu {
			out = append(out, entry{op: op, imm: int32(imm)})
		}
	}
	for _, w := range []uint8{64, 32} {
		for _, fn := range []isa.Fn{isa.FnLsh, isa.FnRsh, isa.FnArsh} {
			list := extra
			if pool {
				list = append(shifts[:len(shifts):len(shifts)], extra...)
			}
			for _, k := range list {
				if k > 0 && k < int64(w) {
					add(isa.ALU(fn, w, true), k)
				}
			}
		}
		for _, x := range []struct {
			fn   isa.Fn
			pool []int64
		}{{isa.FnAnd, masks}, {isa.FnOr, nil}, {isa.FnXor, []int64{-1, 1}}, {isa.FnAdd, sums}} {
			list := extra
			if pool {
				list = append(x.pool[:len(x.pool):len(x.pool)], extra...)
			}
			for _, k := range list {
				if k != 0 {
					add(isa.ALU(x.fn, w, true), k)
				}
			}
		}
		if !pool {
			continue
		}
		add(isa.ALU(isa.FnNeg, w, true), 0)
		for _, b := range []uint8{8, 16, 32} {
			add(isa.ALUBits(isa.FnMovSX, w, b), 0)
		}
	}
	if pool {
		add(isa.ALU(isa.FnMov, 32, false), 0)
		for _, b := range []uint8{16, 32, 64} {
			add(isa.ALUBits(isa.FnToBE, 64, b), 0)
		}
		for _, b := range []uint8{16, 32} {
			add(isa.ALUBits(isa.FnToLE, 64, b), 0)
		}
	}
	return out
}

// joining are the operations of two operands. Of operations that agree, a proof
// sees through the first ones best.
func joining(mcpu int) []isa.Op {
	var out []isa.Op
	for _, w := range []uint8{64, 32} {
		for _, fn := range []isa.Fn{isa.FnOr, isa.FnAnd, isa.FnXor, isa.FnAdd, isa.FnSub, isa.FnLsh, isa.FnRsh} {
			if op := isa.ALU(fn, w, false); int(isa.RowOf(op).MinCPU) <= mcpu {
				out = append(out, op)
			}
		}
	}
	return out
}

// maxBank bounds the values of a bank.
const maxBank = 30_000

// fill makes b the bank of the values of up to depth operations.
func (b *bank) fill(facts []slice.Fact, mcpu, depth int, steps *int64) {
	b.clear()
	b.steps = steps
	r := rand.New(rand.NewPCG(0x5eed, uint64(len(facts))))
	for i := range facts {
		v := drawVector(r, facts[i], nil, i)
		b.add(entry{}, &v)
	}
	in := b.len()
	b.apply(0, in, unary(mcpu, full, nil), 0)
	b.pairs(0, in, mcpu)
	if one := b.len(); depth > 1 {
		b.pairs(in, one, mcpu)
		b.apply(in, one, unary(mcpu, core, nil), 1)
	}
}

// clear empties a bank and keeps its memory.
func (b *bank) clear() {
	b.vals.release()
	b.index.reset()
	b.seen.reset()
	b.list, b.first, b.second = b.list[:0], b.first[:0], b.second[:0]
}

// extend makes x a bank with what the window's own immediates and loads add to b.
func (x *bank) extend(b *bank, extra []int64, loads []leaf, inputs, mcpu, depth int) {
	x.vals.room = b.vals.room
	x.clear()
	x.shared, x.off, x.steps = b, b.len(), b.steps
	for _, l := range loads {
		var v vector
		for k := range v {
			v[k] = l.run(&b.val(int32(l.input))[k])
		}
		x.add(entry{op: l.op, a: -1, b: int32(l.input), imm: int32(l.off), cost: 1}, &v)
	}
	var own []int64
	for _, k := range extra {
		if k != 0 && k == int64(int32(k)) {
			own = append(own, k)
		}
	}
	if len(own) == 0 && len(loads) == 0 {
		return
	}
	x.apply(0, int32(inputs), unary(mcpu, ownOnly, own), 0)
	mine := x.len()
	if depth > 1 {
		// The window's immediates after the pool's, and the other way round.
		end := int32(inputs)
		for end < b.off && b.at(end).cost == 1 {
			end++
		}
		x.apply(int32(inputs), end, unary(mcpu, ownOnly, own), 1)
		x.apply(b.off, mine, unary(mcpu, core, own), 1)
		x.pairs(b.off, mine, mcpu)
	}
}

// apply applies ops to the values [from,to), which cost operations each.
func (b *bank) apply(from, to int32, ops []entry, cost int8) {
	for a := from; a < to; a++ {
		if b.len() >= maxBank {
			return
		}
		for _, e := range ops {
			e.a, e.b, e.cost = a, -1, cost+1
			v := b.val(a)
			b.compute(e, v, v)
		}
	}
}

// pairs combines values [from,to) with the inputs.
func (b *bank) pairs(from, to int32, mcpu int) {
	ops := joining(mcpu)
	for in := int32(0); in < b.len() && b.at(in).op == 0; in++ {
		for x := from; x < to && b.len() < maxBank; x++ {
			for _, op := range ops {
				for _, p := range [][2]int32{{x, in}, {in, x}} {
					cost := max(b.at(p[0]).cost, b.at(p[1]).cost) + 1
					b.compute(entry{op: op, a: p[0], b: p[1], cost: cost}, b.val(p[0]), b.val(p[1]))
					if slice.Commutes(isa.RowOf(op)) {
						break
					}
				}
			}
		}
	}
}

func (b *bank) len() int32 { return b.off + int32(len(b.list)) }

func (b *bank) at(i int32) *entry {
	if i < b.off {
		return b.shared.at(i)
	}
	return &b.list[i-b.off]
}

func (b *bank) val(i int32) *vector {
	if i < b.off {
		return b.shared.val(i)
	}
	return b.vals.at(i - b.off)
}

// add adds a value, an input or a load, unless it is known.
func (b *bank) add(e entry, v *vector) {
	if h, ok := b.isNew(&e, &v[0]); ok {
		b.put(e, v, h)
	}
}

// compute adds what an operation of two values makes, unless it is known.
func (b *bank) compute(e entry, v, w *vector) {
	var out vector
	imm := uint64(int64(e.imm))
	interp.Lockstep(e.op, imm, &v[0], &w[0], &out[0])
	h, ok := b.isNew(&e, &out[0])
	if !ok {
		return
	}
	for k := 1; k < blocks; k++ {
		interp.Lockstep(e.op, imm, &v[k], &w[k], &out[k])
	}
	b.put(e, &out, h)
}

// isNew reports whether a value with this first block is to be added, and its hash.
func (b *bank) isNew(e *entry, first *interp.Lanes) (uint64, bool) {
	*b.steps++
	h := hash(first)
	if e.op == 0 {
		return h, true
	}
	if b.len() >= maxBank {
		return h, false
	}
	x0, x1 := first[0], first[1]
	if b.seen.has(x0, x1) {
		if _, known := b.index.get(h); known {
			return h, false
		}
	}
	if b.shared != nil && b.shared.seen.has(x0, x1) {
		if _, known := b.shared.index.get(h); known {
			return h, false
		}
	}
	return h, true
}

func (b *bank) put(e entry, v *vector, hash uint64) {
	b.index.put(hash, b.len())
	b.list = append(b.list, e)
	b.vals.add(v)
	b.first, b.second = append(b.first, v[0][0]), append(b.second, v[0][1])
	b.seen.add(v[0][0], v[0][1])
}

// may reports whether a value with these first two lanes may be there.
func (b *bank) may(x0, x1 uint64) bool {
	return b.seen.has(x0, x1) || b.shared != nil && b.shared.seen.has(x0, x1)
}

// find looks a value up by all its lanes.
func (b *bank) find(v *vector) (int32, bool) {
	h := hash(&v[0])
	i, ok := b.index.get(h)
	if !ok && b.shared != nil {
		i, ok = b.shared.index.get(h)
	}
	return i, ok && *b.val(i) == *v
}

// scan calls do for each value that may equal goal under mask, judged by two
// lanes.
func (b *bank) scan(goal *vector, mask uint64, do func(i int32)) {
	if b.shared != nil {
		b.shared.scan(goal, mask, do)
	}
	*b.steps += int64(len(b.first)) / 16
	g0, g1 := goal[0][0], goal[0][1]
	for i, x := range b.first {
		if (x^g0)&mask == 0 && (b.second[i]^g1)&mask == 0 {
			do(b.off + int32(i))
		}
	}
}

// each calls do for every value with its first two lanes.
func (b *bank) each(do func(i int32, x0, x1 uint64)) {
	if b.shared != nil {
		b.shared.each(do)
	}
	for i, x := range b.first {
		do(b.off+int32(i), x, b.second[i])
	}
}

// hash takes the first block in: values that differ only in others are one to
// a bank.
func hash(v *interp.Lanes) uint64 {
	h, g := uint64(0x9e3779b97f4a7c15), uint64(0xff51afd7ed558ccd)
	for i := 0; i < interp.NumLanes; i += 2 {
		h = bits.RotateLeft64(h^v[i], 29) * 0x9fb21c651e98df25
		g = bits.RotateLeft64(g^v[i+1], 31) * 0xd6e8feb86659fd93
	}
	return h ^ bits.RotateLeft64(g, 17)
}

// equal compares under a mask.
func (v *vector) equal(w *vector, mask uint64) bool {
	for k := range v {
		for i := range v[k] {
			if (v[k][i]^w[k][i])&mask != 0 {
				return false
			}
		}
	}
	return true
}

// drawLanes makes values of an input that its facts allow: corners, the
// values near which a window's immediates decide something, and anything.
func drawLanes(r *rand.Rand, f slice.Fact, near []uint64, which int) (out interp.Lanes) {
	for i := range out {
		v := draw(r, 64, i+which)
		if len(near) > 0 && r.IntN(3) == 0 {
			v = near[r.IntN(len(near))]
			if r.IntN(3) == 0 {
				v ^= r.Uint64() << 32
			}
		}
		out[i] = v&^f.Zeros | f.Ones
	}
	return out
}

func drawVector(r *rand.Rand, f slice.Fact, near []uint64, which int) (v vector) {
	for k := range v {
		v[k] = drawLanes(r, f, near, which)
	}
	// The lanes that scans look at first tell most values apart.
	v[0][0], v[0][1] = r.Uint64()&^f.Zeros|f.Ones, r.Uint64()&^f.Zeros|f.Ones
	return v
}
