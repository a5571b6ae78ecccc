package locks

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Layout of the map value: the memory that programs work on, then the initial
// registers, then what the epilogue saves.
const (
	workBytes  = 64
	initAt     = workBytes // 8 words
	regsAt     = initAt + 64
	stackAt    = regsAt + 64
	stackBytes = 64
	valueBytes = stackAt + stackBytes
	packetLen  = 64
)

// State is the map that every random program uses.
var State = &prog.Map{Name: "state", Type: prog.MapArray, KeySize: 4, ValueSize: valueBytes, MaxEntries: 1}

var stateRef = &prog.Ref{Kind: prog.RefMapValue, Name: State.Name, Map: State}

// scalars are the registers that random instructions compute with; r6 is the
// context, r7 the packet, r9 the map value.
var scalars = []isa.Reg{0, 1, 2, 3, 4, 5, 8}

// corner constants of all widths.
var corners = []uint64{0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
	0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0xfffffffffffffffe, 0xffffffff80000000,
	0xffffffff00000000, 0x0123456789abcdef, 0xfedcba9876543210}

// Corner draws a constant, mostly from the corners.
func Corner(r *rand.Rand) uint64 {
	switch r.IntN(4) {
	case 0:
		return r.Uint64()
	case 1:
		return corners[r.IntN(len(corners))] + uint64(r.IntN(3)) - 1
	}
	return corners[r.IntN(len(corners))]
}

// rows are the table's rows that random programs use.
var rows = func() []*isa.Row {
	var out []*isa.Row
	for op := 1; op < isa.NumOps(); op++ {
		row := isa.RowOf(isa.Op(op))
		switch row.Kind {
		case isa.KindALU, isa.KindLoad, isa.KindStore, isa.KindAtomic, isa.KindCondJump, isa.KindJump:
			out = append(out, row)
		case isa.KindLoadImm:
			if row.Form == 0 {
				out = append(out, row)
			}
		}
	}
	return out
}()

type builder struct {
	r   *rand.Rand
	f   *prog.Func
	fix []int // jumps whose target is drawn when the length is known
}

func (b *builder) add(i isa.Insn) *prog.Insn {
	b.f.Insns = append(b.f.Insns, prog.New(i))
	return &b.f.Insns[len(b.f.Insns)-1]
}

func (b *builder) scalar() isa.Reg { return scalars[b.r.IntN(len(scalars))] }

// place draws a pointer register and an offset for an access of n bytes.
func (b *builder) place(n int, atomic bool) (isa.Reg, int16) {
	regions := 3
	if atomic {
		regions = 2 // the checker forbids packet memory
	}
	switch b.r.IntN(regions) {
	case 0:
		o := b.r.IntN(workBytes - n + 1)
		if atomic {
			o &^= n - 1
		}
		return isa.R9, int16(o)
	case 1:
		return isa.R10, int16(-stackBytes + b.r.IntN(stackBytes/n)*n)
	}
	return isa.R7, int16(b.r.IntN(packetLen - n + 1))
}

func (b *builder) imm(row *isa.Row) int64 {
	v := int64(int32(Corner(b.r)))
	switch row.Fn {
	case isa.FnLsh, isa.FnRsh, isa.FnArsh:
		return v & int64(row.Width-1) // the checker refuses larger ones
	case isa.FnDiv, isa.FnMod, isa.FnSDiv, isa.FnSMod:
		if v == 0 {
			return 1
		}
	}
	return v
}

// random adds one random instruction of the row.
func (b *builder) random(row *isa.Row) {
	in := isa.Insn{Op: row.Op}
	switch row.Kind {
	case isa.KindALU:
		in.Dst = b.scalar()
		if row.ReadsSrc {
			in.Src = b.scalar()
		} else if row.Imm && row.Fn != isa.FnNeg {
			in.Imm = b.imm(row)
		}
	case isa.KindLoadImm:
		in.Dst, in.Imm = b.scalar(), int64(Corner(b.r))
	case isa.KindLoad:
		in.Dst = b.scalar()
		in.Src, in.Off = b.place(int(row.Width/8), false)
	case isa.KindStore:
		in.Dst, in.Off = b.place(int(row.Width/8), false)
		if row.Imm {
			in.Imm = b.imm(row)
		} else {
			in.Src = b.scalar()
		}
	case isa.KindAtomic:
		p, off := b.place(int(row.Width/8), true)
		for row.Fetch && p == isa.R10 { // a branch on a stack constant fetched so was seen to go the wrong way on Linux 6.18
			p, off = b.place(int(row.Width/8), true)
		}
		in.Off = off
		if row.Fn == isa.FnLoadAcq {
			in.Dst, in.Src = b.scalar(), p
		} else {
			in.Dst, in.Src = p, b.scalar()
		}
	case isa.KindCondJump:
		in.Dst = b.scalar()
		if row.Imm {
			in.Imm = b.imm(row)
		} else {
			in.Src = b.scalar()
		}
		b.fix = append(b.fix, len(b.f.Insns))
	case isa.KindJump: // the checker wants what follows reachable: branch around the jump
		b.add(isa.Insn{Op: isa.CondJump(isa.FnJlt, 64, false), Dst: b.scalar(), Src: b.scalar()}).Target = len(b.f.Insns) + 1
		b.fix = append(b.fix, len(b.f.Insns))
	}
	b.add(in)
	if row.Fn == isa.FnCmpXchg && row.Width == 32 {
		// See testdata/deviations: the kernel may leave r0's upper half.
		b.add(isa.Insn{Op: isa.ALU(isa.FnMov, 32, false), Dst: 0, Src: 0})
	}
}

// Program makes a program of n random instructions; row, when not nil, is used
// for a third of them.
func Program(r *rand.Rand, n int, row *isa.Row) *prog.Func {
	b := &builder{r: r, f: &prog.Func{Name: "random", Section: "xdp", Entry: true, Type: prog.TypeXDP, NumArgs: 1}}
	ldx, stx := isa.Load(64, false), isa.Store(64, false)
	mov, addi := isa.ALU(isa.FnMov, 64, false), isa.ALU(isa.FnAdd, 64, true)
	b.add(isa.Insn{Op: mov, Dst: 6, Src: 1})
	b.add(isa.Insn{Op: isa.ByName("lddw_map_value"), Dst: 9}).Ref = stateRef
	b.add(isa.Insn{Op: isa.Load(32, false), Dst: 7, Src: 6, Off: 0})
	b.add(isa.Insn{Op: isa.Load(32, false), Dst: 8, Src: 6, Off: 4})
	b.add(isa.Insn{Op: mov, Dst: 0, Src: 7})
	b.add(isa.Insn{Op: addi, Dst: 0, Imm: packetLen})
	check := len(b.f.Insns)
	b.add(isa.Insn{Op: isa.CondJump(isa.FnJgt, 64, false), Dst: 0, Src: 8})
	for o := -stackBytes; o < 0; o += 8 {
		b.add(isa.Insn{Op: isa.Store(64, true), Dst: 10, Off: int16(o), Imm: int64(int32(Corner(r)))})
	}
	for k, s := range scalars { // half of them unknown to the checker
		if r.IntN(2) == 0 {
			b.add(isa.Insn{Op: isa.LoadImm, Dst: s, Imm: int64(Corner(r))})
		} else {
			b.add(isa.Insn{Op: ldx, Dst: s, Src: 9, Off: int16(initAt + 8*k)})
		}
	}
	for k := range n {
		if row != nil && k%3 == 0 {
			b.random(row)
		} else {
			b.random(rows[r.IntN(len(rows))])
		}
	}
	end := len(b.f.Insns)
	for k, s := range scalars {
		b.add(isa.Insn{Op: stx, Dst: 9, Src: s, Off: int16(regsAt + 8*k)})
	}
	for o := 0; o < stackBytes; o += 8 {
		b.add(isa.Insn{Op: ldx, Dst: 1, Src: 10, Off: int16(o - stackBytes)})
		b.add(isa.Insn{Op: stx, Dst: 9, Src: 1, Off: int16(stackAt + o)})
	}
	b.add(isa.Insn{Op: isa.Exit})
	b.f.Insns[check].Target = len(b.f.Insns) // the packet is too short
	b.add(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: 0, Imm: 0})
	b.add(isa.Insn{Op: isa.Exit})
	for _, k := range b.fix {
		to := k + 1 + r.IntN(min(end-k, 8))
		if p := b.f.Insns[to-1].Row(); to-1 > k && p.Fn == isa.FnCmpXchg && p.Width == 32 {
			to-- // never between the exchange and its zero extension
		}
		b.f.Insns[k].Target = to
	}
	return b.f
}

// Encode gives the program's bytes with the maps' file descriptors, by name,
// filled in.
func Encode(f *prog.Func, fds map[string]int) ([]byte, error) {
	at := make([]int, len(f.Insns)+1)
	for k := range f.Insns {
		at[k+1] = at[k] + int(f.Insns[k].Row().Slots)
	}
	var out []byte
	for k, in := range f.Insns {
		dist := 0
		if in.IsJump() {
			dist = at[in.Target] - at[k+1]
		}
		i := in.Insn
		if in.Ref != nil {
			i.Imm = int64(uint32(fds[in.Ref.Name]))
			if in.Ref.Kind == prog.RefMapValue {
				i.Imm |= in.Ref.Off << 32
			}
		}
		raw, err := isa.Encode(i, dist)
		if err != nil {
			return nil, err
		}
		out = raw.Append(out, binary.LittleEndian)
	}
	return out, nil
}
