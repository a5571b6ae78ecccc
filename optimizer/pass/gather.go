package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// gather stores at once what is read at once: where a load, or a map that reads
// its key, would wait for several stores to reach the cache, the last of them
// stores the others' bytes too. That takes more instructions, and saves a dozen
// cycles.
func gather(r *run) {
	for _, w := range cost.Waits(r.f, r.weigh()) {
		var stores []gathered
		for _, word := range w.Words {
			if s, ok := r.gatherWord(word); ok {
				stores = append(stores, s)
			}
		}
		// One wait is as long as several.
		if len(stores) < len(w.Words) || !r.ok(w.At, "store at once what is read at once: %s", text(&r.f.Insns[w.At])) {
			continue
		}
		for _, s := range stores {
			last := len(s.code) - 1
			var before []prog.Insn
			for _, in := range s.code[:last] {
				before = append(before, r.at(s.at, in))
			}
			r.later(s.at, before...)
			r.set(s.at, s.code[last])
		}
		return // what follows was found with these stores as they were
	}
}

func (r *run) weigh() []float64 {
	if r.Weights != nil {
		return r.Weights(r.f)
	}
	return cost.Guess(r.f)
}

// gathered is the code for a store and what comes before it.
type gathered struct {
	at   int
	code []isa.Insn
}

// piece is a part of a word: bits bits, shift bits from its low end.
type piece struct {
	shift, bits int
	reg         isa.Reg // holds it, and zeros above
	imm         int64   // if it is constant
	load        bool    // from where it was stored
	constant    bool
}

// gatherWord finds code that stores the word at its last store.
func (r *run) gatherWord(w cost.Word) (gathered, bool) {
	k := w.Store
	in, st := &r.f.Insns[k], r.vals.Before[k]
	row := in.Row()
	bits, shift, whole := int(row.Width), 8*(int(in.Off)-w.Off), 8*w.Bytes
	if st == nil || st.Regs[w.Base] == 0 || !row.Imm && st.Regs[in.Src] == 0 {
		return gathered{}, false
	}
	if in.Frozen() || shift < 0 || shift+bits > whole || !slices.Contains([]int{16, 32, 64}, whole) {
		return gathered{}, false
	}
	switch r.vals.E.RegionOf(st.Regs[w.Base]).Kind {
	case symex.Packet:
	case symex.Stack:
		if w.Base != isa.FP || w.Off%w.Bytes != 0 {
			return gathered{}, false // the kernel wants natural alignment
		}
	default: // others may write what lies beside
		return gathered{}, false
	}
	pieces, ok := r.piecesAround(k, w, shift, bits)
	if !ok {
		return gathered{}, false
	}
	b := builder{r: r, k: k, base: w.Base, busy: r.live.Before[k] | r.live.After[k] | in.Use()}
	for _, p := range pieces {
		if !p.constant && !p.load {
			b.busy = b.busy.With(p.reg)
		}
	}
	acc := in.Src
	switch free, ok := b.scratch(); {
	case row.Imm:
		v := int64(uint64(in.Imm)&(1<<bits-1)) << shift
		if !ok || v != int64(int32(v)) {
			return gathered{}, false
		}
		acc = free
		b.imm(isa.FnMov, acc, v)
	case r.live.After[k].Has(in.Src):
		if !ok {
			return gathered{}, false
		}
		acc = free
		b.reg(isa.FnMov, acc, in.Src)
		fallthrough
	default:
		zero, _ := r.vals.C.Known(st.Regs[in.Src])
		b.place(acc, shift, bits, shift+bits == whole || zero>>bits == ^uint64(0)>>bits)
	}
	b.busy = b.busy.With(acc)
	for _, p := range pieces {
		if !b.join(acc, p, w.Off) {
			return gathered{}, false
		}
	}
	b.code = append(b.code, isa.Insn{Op: isa.Store(uint8(whole), false), Dst: w.Base, Src: acc, Off: int16(w.Off)})
	return gathered{k, b.code}, true
}

// builder makes the code that comes before store k.
type builder struct {
	r    *run
	k    int
	base isa.Reg
	busy isa.RegSet
	code []isa.Insn
}

func (b *builder) reg(fn isa.Fn, d, s isa.Reg) {
	b.code = append(b.code, isa.Insn{Op: isa.ALU(fn, 64, false), Dst: d, Src: s})
}

func (b *builder) imm(fn isa.Fn, d isa.Reg, v int64) {
	b.code = append(b.code, isa.Insn{Op: isa.ALU(fn, 64, true), Dst: d, Imm: v})
}

func (b *builder) scratch() (isa.Reg, bool) { return b.r.unused(b.busy.With(isa.FP)) }

// place shifts the low bits of x to where they belong; clean tells that the rest
// of x is zero, or goes nowhere.
func (b *builder) place(x isa.Reg, shift, bits int, clean bool) {
	switch {
	case clean:
	case bits < 32:
		b.imm(isa.FnAnd, x, 1<<bits-1)
	default:
		b.imm(isa.FnLsh, x, 32)
		b.imm(isa.FnRsh, x, int64(32-shift))
		return
	}
	if shift > 0 {
		b.imm(isa.FnLsh, x, int64(shift))
	}
}

// join puts a piece of the word at offset off into acc.
func (b *builder) join(acc isa.Reg, p piece, off int) bool {
	switch {
	case p.constant && p.imm == 0:
	case p.constant:
		b.imm(isa.FnOr, acc, p.imm)
	case p.shift == 0 && !p.load:
		b.reg(isa.FnOr, acc, p.reg)
	default:
		t := p.reg
		if p.load || t == acc || b.r.live.After[b.k].Has(t) {
			var ok bool
			if t, ok = b.scratch(); !ok {
				return false
			}
		}
		if p.load {
			b.code = append(b.code, isa.Insn{Op: isa.Load(uint8(p.bits), false), Dst: t, Src: b.base, Off: int16(off + p.shift/8)})
		} else if t != p.reg {
			b.reg(isa.FnMov, t, p.reg)
		}
		b.place(t, p.shift, p.bits, true)
		b.reg(isa.FnOr, acc, t)
	}
	return true
}

// piecesAround splits up what a word holds besides the bits that store k writes.
func (r *run) piecesAround(k int, w cost.Word, shift, bits int) (out []piece, ok bool) {
	for from := 0; from < 8*w.Bytes; {
		if from == shift {
			from += bits
			continue
		}
		to := 8 * w.Bytes
		if from < shift {
			to = shift
		}
		p, ok := r.pieceAt(k, w, from, to)
		if !ok {
			return nil, false
		}
		out = append(out, p)
		from += p.bits
	}
	return out, true
}

// pieceAt finds the longest part of a word from bit from on, to bit to at most,
// that is constant, in a register or loaded with one instruction.
func (r *run) pieceAt(k int, w cost.Word, from, to int) (piece, bool) {
	for n := to - from; n >= 8; n -= 8 {
		p := piece{shift: from, bits: n}
		if w.Base == isa.FP && r.pieceInRegister(k, w.Off+from/8, &p) {
			return p, true
		}
		off := w.Off + from/8
		if aligned := off%(n/8) == 0 || w.Base != isa.FP; aligned && slices.Contains([]int{8, 16, 32}, n) && r.fromOneStore(k, w.Base, off, n/8) {
			p.load = true
			return p, true
		}
	}
	return piece{}, false
}

// pieceInRegister looks for a piece, which lies at a stack offset, among constants
// and registers.
func (r *run) pieceInRegister(k, off int, p *piece) bool {
	c, st := r.vals.C, r.vals.Before[k]
	var bytes bytesOf
	for i := range p.bits / 8 {
		bytes = append(bytes, r.vals.E.StackByte(st, isa.StackSize+off+i))
	}
	t, ok := bytes.term(c, false)
	if !ok {
		return false
	}
	if v, ok := c.IsConst(t); ok {
		p.imm = int64(v << p.shift)
		p.constant = p.imm == int64(int32(p.imm))
		return p.constant
	}
	whole := c.ZExt(t, 64)
	for x := isa.R0; x < isa.FP; x++ {
		if st.Regs[x] == whole {
			p.reg = x
			return true
		}
	}
	return false
}

// fromOneStore: n bytes at an offset to a register come from one store through it in
// the block, or from before it, so that a load before instruction k need not wait.
func (r *run) fromOneStore(k int, base isa.Reg, off, n int) bool {
	for j := k - 1; j >= r.cfg.Blocks[r.cfg.BlockOf[k]].From; j-- {
		in := &r.f.Insns[j]
		if in.Def().Has(base) {
			break
		}
		if in.Row().Kind != isa.KindStore || in.Dst != base {
			continue
		}
		if at, w := int(in.Off), int(in.Row().Width/8); at < off+n && off < at+w {
			return at <= off && off+n <= at+w
		}
	}
	return true
}
