package locks

import (
	"math/rand/v2"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Table is the map that woven programs look things up in.
var Table = &prog.Map{Name: "table", Type: prog.MapHash, KeySize: 4, ValueSize: 16, MaxEntries: 8}

var tableRef = &prog.Ref{Kind: prog.RefMap, Name: Table.Name, Map: Table}

// weaver makes programs of the shapes that compilers leave behind, which give the
// optimizer something to do: values made byte by byte, choices between operands,
// the same condition twice, neighbouring stores, values computed again, loops,
// lookups, early exits. All scalars hold numbers between statements.
type weaver struct {
	*builder
	depth int
	ends  []int // jumps to the ends that return a constant
}

// Woven makes an XDP program of n statements.
func Woven(r *rand.Rand, n int) *prog.Func {
	w := &weaver{builder: &builder{r: r, f: &prog.Func{Name: "woven", Section: "xdp", Entry: true, Type: prog.TypeXDP, NumArgs: 1}}}
	w.op("mov", 6, 1)
	w.add(isa.Insn{Op: isa.ByName("lddw_map_value"), Dst: 9}).Ref = stateRef
	w.add(isa.Insn{Op: isa.Load(32, false), Dst: 7, Src: 6, Off: 0})
	w.add(isa.Insn{Op: isa.Load(32, false), Dst: 8, Src: 6, Off: 4})
	w.op("mov", 0, 7)
	w.imm("add", 0, packetLen)
	w.ends = append(w.ends, w.jump(isa.FnJgt, 64, false, 0, 8, 0))
	for o := -stackBytes; o < 0; o += 8 {
		w.add(isa.Insn{Op: isa.Store(64, true), Dst: 10, Off: int16(o), Imm: int64(r.IntN(3))})
	}
	for _, s := range scalars {
		w.fresh(s)
	}
	for range n {
		w.statement()
	}
	// What is looked at in the end: all of it would leave nothing to remove.
	for k, s := range scalars {
		if r.IntN(2) == 0 {
			w.add(isa.Insn{Op: isa.Store(64, false), Dst: 9, Src: s, Off: int16(regsAt + 8*k)})
		}
	}
	for o := 0; o < stackBytes; o += 8 {
		if r.IntN(3) == 0 {
			w.add(isa.Insn{Op: isa.Load(64, false), Dst: 1, Src: 10, Off: int16(o - stackBytes)})
			w.add(isa.Insn{Op: isa.Store(64, false), Dst: 9, Src: 1, Off: int16(stackAt + o)})
		}
	}
	w.op("mov", 0, w.scalar())
	w.add(isa.Insn{Op: isa.Exit})
	blocks := 1 + r.IntN(3)
	for k := range blocks {
		for i, j := range w.ends {
			if i%blocks == k {
				w.here(j)
			}
		}
		w.imm("mov", 0, int64(r.IntN(5)))
		w.add(isa.Insn{Op: isa.Exit})
	}
	if len(w.ends) < blocks { // not all are reached: the checker minds
		w.f.Insns = w.f.Insns[:len(w.f.Insns)-2*(blocks-len(w.ends))]
	}
	return w.f
}

var weaverFns = map[string]isa.Fn{"mov": isa.FnMov, "add": isa.FnAdd, "sub": isa.FnSub, "and": isa.FnAnd, "or": isa.FnOr, "xor": isa.FnXor, "lsh": isa.FnLsh, "rsh": isa.FnRsh}

func (w *weaver) op(fn string, d, s isa.Reg) {
	w.add(isa.Insn{Op: isa.ALU(weaverFns[fn], 64, false), Dst: d, Src: s})
}

func (w *weaver) imm(fn string, d isa.Reg, v int64) {
	w.add(isa.Insn{Op: isa.ALU(weaverFns[fn], 64, true), Dst: d, Imm: v})
}

// jump adds a conditional jump and returns its index, for here.
func (w *weaver) jump(fn isa.Fn, width uint8, imm bool, d, s isa.Reg, v int64) int {
	in := isa.Insn{Op: isa.CondJump(fn, width, imm), Dst: d}
	if imm {
		in.Imm = v
	} else {
		in.Src = s
	}
	w.add(in)
	return len(w.f.Insns) - 1
}

func (w *weaver) here(k int) { w.f.Insns[k].Target = len(w.f.Insns) }

// goTo adds a jump to somewhere after.
func (w *weaver) goTo() int {
	w.add(isa.Insn{Op: isa.Ja})
	return len(w.f.Insns) - 1
}

// fresh gives a scalar a number: from memory, or a constant.
func (w *weaver) fresh(s isa.Reg) {
	if w.r.IntN(3) == 0 {
		w.imm("mov", s, int64(int32(Corner(w.r))))
		return
	}
	w.add(isa.Insn{Op: isa.Load([]uint8{8, 16, 32, 64}[w.r.IntN(4)], false), Dst: s, Src: 9, Off: int16(initAt + 8*w.r.IntN(8))})
}

// test adds a random conditional jump.
func (w *weaver) test() int {
	fns := []isa.Fn{isa.FnJeq, isa.FnJne, isa.FnJgt, isa.FnJlt, isa.FnJsgt, isa.FnJslt, isa.FnJge, isa.FnJset}
	fn := fns[w.r.IntN(len(fns))]
	width := uint8(64)
	if w.r.IntN(3) == 0 {
		width = 32
	}
	if w.r.IntN(3) == 0 {
		return w.jump(fn, width, false, w.scalar(), w.scalar(), 0)
	}
	v := int64(int32(Corner(w.r)))
	if w.r.IntN(2) == 0 {
		v = int64(w.r.IntN(20))
	}
	return w.jump(fn, width, true, w.scalar(), 0, v)
}

func (w *weaver) some(most int) {
	for range 1 + w.r.IntN(most) {
		if w.depth < 3 && w.r.IntN(3) == 0 {
			w.statement()
		} else {
			w.compute()
		}
	}
}

// compute is one operation on numbers.
func (w *weaver) compute() {
	for {
		row := rows[w.r.IntN(len(rows))]
		if row.Kind == isa.KindALU && (w.r.IntN(3) == 0 || row.Fn == isa.FnAdd || row.Fn == isa.FnMov || row.Fn == isa.FnAnd || row.Fn == isa.FnOr || row.Fn == isa.FnLsh) {
			w.random(row)
			return
		}
	}
}

func (w *weaver) statement() {
	w.depth++
	defer func() { w.depth-- }()
	switch w.r.IntN(18) {
	case 0:
		w.bytesToWord()
	case 1, 2:
		a := w.test()
		w.some(3)
		b := w.goTo()
		w.here(a)
		w.some(3)
		w.here(b)
	case 3: // the same condition twice
		at := len(w.f.Insns)
		a := w.test()
		in := w.f.Insns[at].Insn
		w.some(2)
		w.here(a)
		if w.r.IntN(2) == 0 {
			w.compute()
		}
		b := len(w.f.Insns)
		w.add(in)
		w.some(2)
		w.here(b)
	case 4: // an operand is chosen
		x, y := w.scalar(), w.scalar()
		w.imm("mov", x, int64(w.r.IntN(64)))
		a := w.test()
		w.imm("mov", x, int64(w.r.IntN(64)))
		w.here(a)
		w.op([]string{"add", "sub", "xor", "or", "and"}[w.r.IntN(5)], y, x)
	case 5:
		w.index()
	case 6:
		if w.depth < 3 {
			w.lookup()
		}
	case 7: // what is computed twice, with something between
		w.again()
	case 8:
		w.stores()
	case 9:
		if w.depth == 1 {
			w.loop()
		}
	case 10, 11:
		w.ends = append(w.ends, w.test())
	case 12: // a row of selections on one condition
		at := len(w.f.Insns)
		a := w.test()
		in := w.f.Insns[at].Insn
		w.compute()
		w.here(a)
		for range 1 + w.r.IntN(2) {
			if w.r.IntN(2) == 0 {
				w.imm("mov", w.scalar(), int64(w.r.IntN(9)))
			}
			b := len(w.f.Insns)
			w.add(in)
			w.compute()
			w.here(b)
		}
	case 13, 15:
		w.sums()
	case 16: // most registers are free here
		for _, k := range w.r.Perm(len(scalars))[:5] {
			w.fresh(scalars[k])
		}
	case 14:
		w.address()
	default:
		row := rows[w.r.IntN(len(rows))]
		for row.Kind == isa.KindCondJump || row.Kind == isa.KindJump {
			row = rows[w.r.IntN(len(rows))]
		}
		w.random(row)
	}
}
