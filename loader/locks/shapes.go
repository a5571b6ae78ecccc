package locks

import "github.com/superbpf/superbpf/optimizer/isa"

// bytesToWord puts a value together byte by byte, in either order, and stores it.
func (w *weaver) bytesToWord() {
	n := []int{2, 4, 8}[w.r.IntN(3)]
	x, y := w.scalar(), w.scalar()
	for y == x {
		y = w.scalar()
	}
	base, off := w.place(n, false)
	big := w.r.IntN(2) == 0
	w.imm("mov", x, 0)
	for k := range n {
		w.add(isa.Insn{Op: isa.Load(8, false), Dst: y, Src: base, Off: off + int16(k)})
		s := 8 * k
		if big {
			s = 8 * (n - 1 - k)
		}
		if s > 0 {
			w.imm("lsh", y, int64(s))
		}
		w.op("or", x, y)
	}
	if w.r.IntN(2) == 0 {
		base, off = w.place(n, false)
		for k := range n {
			w.add(isa.Insn{Op: isa.Store(8, false), Dst: base, Src: x, Off: off + int16(k)})
			w.imm("rsh", x, 8)
		}
	}
}

// index accesses a place that a number chooses, through an address of its own.
func (w *weaver) index() {
	p, x := w.scalar(), w.scalar()
	for x == p {
		x = w.scalar()
	}
	w.imm("and", x, 31)
	w.op("mov", p, 9)
	if w.r.IntN(2) == 0 {
		w.imm("add", p, int64(w.r.IntN(16)))
	}
	w.op("add", p, x)
	off := int16(w.r.IntN(8))
	width := []uint8{8, 16, 32, 64}[w.r.IntN(4)]
	if w.r.IntN(2) == 0 {
		w.add(isa.Insn{Op: isa.Store(width, false), Dst: p, Src: x, Off: off})
	}
	w.add(isa.Insn{Op: isa.Load(width, false), Dst: x, Src: p, Off: off})
	w.fresh(p)
}

// lookup asks the table, and may change or add an entry.
func (w *weaver) lookup() {
	w.add(isa.Insn{Op: isa.ALU(isa.FnAnd, 32, true), Dst: 8, Imm: int64(w.r.IntN(8))})
	w.add(isa.Insn{Op: isa.Store(32, false), Dst: 10, Src: 8, Off: -8})
	w.op("mov", 2, 10)
	w.imm("add", 2, -8)
	w.add(isa.Insn{Op: isa.ByName("lddw_map_fd"), Dst: 1}).Ref = tableRef
	helper := func(id int64) { w.add(isa.Insn{Op: isa.Call, Imm: id}) }
	helper(1)
	none := w.jump(isa.FnJeq, 64, true, 0, 0, 0)
	w.op("mov", 3, 0)
	w.add(isa.Insn{Op: isa.Load(32, false), Dst: 4, Src: 3, Off: int16(4 * w.r.IntN(3))})
	w.imm("add", 4, int64(w.r.IntN(4)))
	w.add(isa.Insn{Op: isa.Store([]uint8{16, 32}[w.r.IntN(2)], false), Dst: 3, Src: 4, Off: int16(4 * w.r.IntN(3))})
	w.add(isa.Insn{Op: isa.Store(16, true), Dst: 0, Off: 12, Imm: int64(w.r.IntN(9))})
	w.add(isa.Insn{Op: isa.Store(16, true), Dst: 0, Off: 14, Imm: int64(w.r.IntN(9))})
	w.here(none)
	if w.r.IntN(3) == 0 {
		w.op("mov", 2, 10)
		w.imm("add", 2, -8)
		w.op("mov", 3, 10)
		w.imm("add", 3, -32)
		w.imm("mov", 4, 0)
		w.add(isa.Insn{Op: isa.ByName("lddw_map_fd"), Dst: 1}).Ref = tableRef
		helper(2)
	}
	for _, s := range scalars[:6] {
		w.fresh(s)
	}
}

// three draws different scalars.
func (w *weaver) three() (x, y, z isa.Reg) {
	p := w.r.Perm(len(scalars))
	return scalars[p[0]], scalars[p[1]], scalars[p[2]]
}

// sums has sums at hand on each way, and chooses an operand all the same.
func (w *weaver) sums() {
	x, z, s := w.three()
	k, l := int64(w.r.IntN(40)), int64(w.r.IntN(40))
	w.op("mov", x, z)
	w.imm("add", x, k)
	a := w.jump(isa.FnJgt, 64, false, x, s, 0)
	w.op("mov", s, z)
	w.imm("add", s, l)
	w.imm("mov", x, l)
	b := w.goTo()
	w.here(a)
	w.op("xor", s, x)
	w.imm("mov", x, k)
	w.here(b)
	if w.r.IntN(2) == 0 {
		w.op("mov", s, z)
		w.op("add", s, x)
	} else {
		w.op("add", z, x)
	}
}

// address makes an address twice, with its register used for something else in
// between, and adds constants on the way.
func (w *weaver) address() {
	p, x, y := w.three()
	base := []isa.Reg{7, 9, 10}[w.r.IntN(3)]
	off := int16(0)
	if base == 10 {
		off = -stackBytes
	}
	for range 2 {
		w.op("mov", p, base)
		w.imm("add", p, int64(8*w.r.IntN(3)))
		at := off + int16(8*w.r.IntN(4))
		if w.r.IntN(2) == 0 {
			w.add(isa.Insn{Op: isa.Store(64, false), Dst: p, Src: y, Off: at})
		} else {
			w.add(isa.Insn{Op: isa.Load(64, false), Dst: x, Src: p, Off: at})
		}
		if w.r.IntN(3) == 0 {
			a := w.test2(x, y)
			w.add(isa.Insn{Op: isa.Load(64, false), Dst: y, Src: p, Off: off + 8})
			w.here(a)
		}
		w.imm("add", p, 8)
		w.add(isa.Insn{Op: isa.Store(64, true), Dst: p, Off: at, Imm: int64(w.r.IntN(5))})
		w.fresh(p)
		w.op("add", x, p)
	}
}

func (w *weaver) test2(x, y isa.Reg) int { return w.jump(isa.FnJlt, 64, false, x, y, 0) }

func (w *weaver) again() {
	x, y, z := w.scalar(), w.scalar(), w.scalar()
	fn, v := []string{"add", "and", "lsh", "xor"}[w.r.IntN(4)], int64(w.r.IntN(32))
	base, off := w.place(8, false)
	load := isa.Insn{Op: isa.Load([]uint8{8, 16, 32, 64}[w.r.IntN(4)], false), Src: base, Off: off}
	for k, d := range []isa.Reg{x, y} {
		load.Dst = d
		w.add(load)
		w.imm(fn, d, v)
		if k == 0 {
			w.some(2)
		}
	}
	w.op("add", z, y)
}

// stores fills neighbouring places with values that are constants or numbers.
func (w *weaver) stores() {
	base, off := w.place(16, false)
	at := 0
	for at < 16 {
		n := 1 << w.r.IntN(4)
		if at+n > 16 || base == isa.R10 && (int(off)+at)%n != 0 {
			n = 1
		}
		in := isa.Insn{Op: isa.Store(uint8(8*n), true), Dst: base, Off: off + int16(at), Imm: int64(w.r.IntN(3))}
		if w.r.IntN(3) == 0 {
			in.Op, in.Src, in.Imm = isa.Store(uint8(8*n), false), w.scalar(), 0
		}
		w.add(in)
		if w.r.IntN(4) > 0 { // else again, over what was stored
			at += n
		}
		if w.r.IntN(6) == 0 {
			w.compute()
		}
	}
}

// loop counts in r8.
func (w *weaver) loop() {
	w.imm("mov", 8, 0)
	n := int64(2 + w.r.IntN(4))
	head := len(w.f.Insns)
	w.depth = 2
	for range 1 + w.r.IntN(3) {
		x := w.scalar()
		for x == 8 {
			x = w.scalar()
		}
		w.add(isa.Insn{Op: isa.Load(8, false), Dst: x, Src: 7, Off: int16(w.r.IntN(packetLen))})
		y := w.scalar()
		for y == 8 || y == x {
			y = w.scalar()
		}
		w.op([]string{"add", "xor", "sub"}[w.r.IntN(3)], y, x)
	}
	w.depth = 1
	w.imm("add", 8, 1)
	w.f.Insns[w.jump(isa.FnJlt, 64, true, 8, 0, n)].Target = head
}
