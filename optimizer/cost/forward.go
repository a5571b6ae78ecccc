package cost

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// A store's bytes reach the first cache some time after it has run. A load of all
// or some of them gets them from the store before that; a load of bytes of which
// the latest store wrote only a part must wait until all have arrived, for a dozen
// cycles (Fog, The microarchitecture of Intel, AMD and VIA CPUs, "store
// forwarding"). A key that is put together from small fields pays this when the
// map's hash reads it by 32 bits.
const (
	// forwardWindow is how many instructions after a store it is taken to be on its
	// way still.
	forwardWindow = 64
	// forwardStores bounds the stores that are remembered.
	forwardStores = 16
)

// Wait is an instruction that waits for stores.
type Wait struct {
	At int // the instruction: a load or a call
	// Runs is how often it waits in one run.
	Runs  float64
	Words []Word
}

// Word is what a load reads at a time, and waits for.
type Word struct {
	Base  isa.Reg // what it reads from is this register, which the stores used too,
	Off   int     // and an offset
	Bytes int
	Store int // the instruction that stored a part of it last
}

// pending is a store that may not have reached the cache.
type pending struct {
	base  isa.Reg
	at, n int // offset to base, bytes
	seq   int // counts instructions
	k     int // the instruction
}

// storeQueue follows the stores of a path, the latest last.
type storeQueue struct {
	q   []pending
	seq int
}

func (s *storeQueue) put(k int, base isa.Reg, at, n int) {
	if len(s.q) == forwardStores {
		s.q = append(s.q[:0], s.q[1:]...)
	}
	s.q = append(s.q, pending{base, at, n, s.seq, k})
}

// forget drops the stores through registers that get another value.
func (s *storeQueue) forget(regs isa.RegSet) {
	s.q = slices.DeleteFunc(s.q, func(p pending) bool { return regs.Has(p.base) })
}

// latest is the store that wrote a part of n bytes at an offset last, if they are
// not all in it.
func (s *storeQueue) latest(base isa.Reg, at, n int) (k int, waits bool) {
	for i := len(s.q) - 1; i >= 0 && s.seq-s.q[i].seq <= forwardWindow; i-- {
		if p := s.q[i]; p.base == base && p.at < at+n && at < p.at+p.n {
			return p.k, p.at > at || p.at+p.n < at+n
		}
	}
	return 0, false
}

// read is a load of a key or a value, or of a program's own: word by word.
func (s *storeQueue) read(words []Word, base isa.Reg, at, n, word int) []Word {
	for ; n > 0; at, n = at+word, n-word {
		if k, waits := s.latest(base, at, min(word, n)); waits {
			words = append(words, Word{base, at, min(word, n), k})
		}
	}
	return words
}

// Waits lists the instructions that wait for stores that they read together, in
// the order of control flow. Of the ways into a block the one that control takes
// most often counts. Seen are accesses through the register that was stored
// through, and the keys that maps read from the stack. weights are as Func takes
// them.
func Waits(f *prog.Func, weights []float64) []Wait {
	if !hot(f.Type) || !narrowStores(f) {
		return nil
	}
	g := prog.NewCFG(f)
	out := make([]storeQueue, len(g.Blocks))
	var waits []Wait
	for _, b := range g.Order {
		blk := &g.Blocks[b]
		s := storeQueue{}
		if p := mostOften(g, weights, b); p >= 0 {
			s = storeQueue{append([]pending(nil), out[p].q...), out[p].seq}
		}
		for k := blk.From; k < blk.To; k++ {
			words := s.step(f, k)
			if len(words) == 0 {
				continue
			}
			s.q = s.q[:0] // all have arrived
			w := Wait{At: k, Runs: 1, Words: words}
			if weights != nil {
				w.Runs = weights[k]
			}
			waits = append(waits, w)
		}
		out[b] = s
	}
	return waits
}

// hot: programs of the type run packet after packet. For a program that runs once in
// a system call no wait was to be measured, perhaps since its stores arrive while
// the code behind them is still being fetched.
func hot(t prog.Type) bool {
	switch t {
	case prog.TypeUnspec, // a part of any program
		prog.TypeXDP, prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeSocketFilter, prog.TypeCgroupSKB, prog.TypeFlowDissector,
		prog.TypeLWTIn, prog.TypeLWTOut, prog.TypeLWTXmit, prog.TypeLWTSeg6Local, prog.TypeSKSKB, prog.TypeSKMsg,
		prog.TypeSKLookup, prog.TypeSKReuseport, prog.TypeNetfilter, prog.TypeExt:
		return true
	}
	return false
}

// narrowStores: there is a store of less than 64 bits.
func narrowStores(f *prog.Func) bool {
	for k := range f.Insns {
		if in := &f.Insns[k]; in.Row().Kind == isa.KindStore && in.Row().Width < 64 {
			return true
		}
	}
	return false
}

// mostOften is the predecessor of a block, before it in order, that runs most
// often; -1 if there is none.
func mostOften(g *prog.CFG, weights []float64, b int) int {
	best := -1
	for _, p := range g.Blocks[b].Preds {
		if g.Pos[p] < 0 || g.Pos[p] >= g.Pos[b] {
			continue
		}
		if best < 0 || weights != nil && weights[g.Blocks[p].From] > weights[g.Blocks[best].From] {
			best = p
		}
	}
	return best
}

// step follows instruction k and gives what it waits for.
func (s *storeQueue) step(f *prog.Func, k int) (words []Word) {
	in := &f.Insns[k]
	row := in.Row()
	if row.Kind != isa.KindNop {
		s.seq++
	}
	switch n := int(row.Width / 8); {
	case row.Kind == isa.KindStore:
		s.put(k, in.Dst, int(in.Off), n)
	case row.Kind == isa.KindLoad:
		words = s.read(nil, in.Src, int(in.Off), n, n)
	case in.IsCall():
		m := callMap(f, k)
		words = s.key(f, k, m)
		if m == nil || m.Type != prog.MapArray && m.Type != prog.MapPerCPUArray {
			s.q = s.q[:0] // a call that takes its time
		}
	}
	s.forget(in.Def())
	return words
}

// callMap is the map that a helper call works on, if that is known.
func callMap(f *prog.Func, k int) *prog.Map {
	if f.Insns[k].Row().Kind != isa.KindCallHelper {
		return nil
	}
	for a, kind := range isa.HelperOf(int32(f.Insns[k].Imm)).Args {
		if kind == isa.ArgMap {
			return mapIn(f, k, isa.R1+isa.Reg(a))
		}
	}
	return nil
}

// key gives what a helper waits for of a key that it reads. The kernel hashes keys
// of whole words by 32 bits, others too but for the last 1 to 12 bytes, which it
// reads one by one (include/linux/jhash.h). The values of updates have arrived by
// the time that they are copied.
func (s *storeQueue) key(f *prog.Func, k int, m *prog.Map) (words []Word) {
	if m == nil {
		return nil
	}
	const word, block = 4, 12
	size := int(m.KeySize)
	if size%word != 0 {
		size = (size - 1) / block * block
	}
	for a, kind := range isa.HelperOf(int32(f.Insns[k].Imm)).Args {
		if at, ok := stackIn(f, k, isa.R1+isa.Reg(a)); ok && kind == isa.ArgMapKey {
			words = s.read(words, isa.FP, at, size, word)
		}
	}
	return words
}

// stackIn finds the stack offset that register r points to before instruction k,
// as mapIn finds maps.
func stackIn(f *prog.Func, k int, r isa.Reg) (at int, ok bool) {
	for k--; k >= 0; k-- {
		if r == isa.FP {
			return at, true
		}
		in := &f.Insns[k]
		if !in.Def().Has(r) {
			continue
		}
		switch row := in.Row(); {
		case row.Kind == isa.KindALU && row.Fn == isa.FnMov && !row.Imm && row.Width == 64:
			r = in.Src
		case row.Kind == isa.KindALU && row.Fn == isa.FnAdd && row.Imm && row.Width == 64:
			at += int(in.Imm)
		default:
			return 0, false
		}
	}
	return at, r == isa.FP
}
