package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// maxApart is how many instructions may lie between the first and the last of
// the stores that are merged.
const maxApart = 32

// storeRun is a run of stores in one block through pointers that are constant
// distances apart, with nothing in between that could see them half done.
type storeRun struct {
	at    []int             // the stores
	bytes map[int64]byteRef // by distance from base
	base  smt.Term
	in    symex.Region
}

// byteRef is one byte that a run leaves in memory.
type byteRef struct {
	value smt.Term
	last  int // the store that wrote it last
}

// mergeStores replaces stores to neighbouring bytes by one wider store, if what
// they store together is a constant, in a register, or loaded from
// neighbouring bytes.
func mergeStores(r *run) {
	for _, b := range r.cfg.Order {
		blk := r.cfg.Blocks[b]
		for i := blk.From; i < blk.To; i++ {
			if s, ok := r.storesFrom(i, blk.To); ok {
				if last, ok := r.mergeRun(s); ok {
					i = last // what lies behind has nothing to do with it
				}
			}
		}
	}
}

// stored is the term that a store writes.
func (r *run) stored(k int) (smt.Term, bool) {
	in, st := &r.f.Insns[k], r.vals.Before[k]
	row := in.Row()
	if st == nil || in.Frozen() {
		return 0, false
	}
	if row.Imm {
		return r.vals.C.Const(uint64(in.Imm), row.Width), true
	}
	if st.Regs[in.Src] == 0 {
		return 0, false
	}
	return r.low(st.Regs[in.Src], row.Width), true
}

// address is where a load or store goes.
func (r *run) address(k int, base isa.Reg) (smt.Term, bool) {
	st := r.vals.Before[k]
	if st == nil || st.Regs[base] == 0 {
		return 0, false
	}
	c := r.vals.C
	return c.Add(st.Regs[base], c.Const(uint64(int64(r.f.Insns[k].Off)), 64)), true
}

func (r *run) storesFrom(i, end int) (*storeRun, bool) {
	in := &r.f.Insns[i]
	if in.Row().Kind != isa.KindStore || in.Frozen() {
		return nil, false
	}
	base, ok := r.address(i, in.Dst)
	if !ok {
		return nil, false
	}
	s := &storeRun{base: base, bytes: map[int64]byteRef{}, in: r.vals.E.RegionOf(base)}
	switch s.in.Kind {
	case symex.Context:
		if !r.vals.E.Scratch(base, 1) {
			return nil, false
		}
	case symex.Stack, symex.Packet, symex.MapValue, symex.Record:
	default:
		return nil, false
	}
	for j := i; j < min(end, i+maxApart); j++ {
		in := &r.f.Insns[j]
		switch row := in.Row(); {
		case row.Kind == isa.KindStore:
			off, n, near, ok := r.meets(s, j, in.Dst)
			v, known := r.stored(j)
			if !ok || near && !known {
				return s, len(s.at) > 1
			}
			if !near {
				continue
			}
			s.at = append(s.at, j)
			for b := range n {
				s.bytes[off+b] = byteRef{r.vals.C.Extract(v, uint8(8*b), 8), j}
			}
		case row.Kind == isa.KindLoad:
			off, n, near, ok := r.meets(s, j, in.Src)
			if !ok {
				return s, len(s.at) > 1
			}
			for b := range n {
				if _, clash := s.bytes[off+b]; near && clash {
					return s, len(s.at) > 1
				}
			}
		case row.Kind == isa.KindAtomic || in.IsCall() || row.Kind == isa.KindLoadPacket:
			return s, len(s.at) > 1
		}
	}
	return s, len(s.at) > 1
}

// meets relates access k to a run: near gives its distance; otherwise it is
// elsewhere for certain if ok.
func (r *run) meets(s *storeRun, k int, reg isa.Reg) (off, n int64, near, ok bool) {
	addr, known := r.address(k, reg)
	if !known || r.f.Insns[k].Frozen() {
		return 0, 0, false, false
	}
	if d, isConst := r.vals.C.IsConst(r.vals.C.Sub(addr, s.base)); isConst {
		return int64(d), int64(r.f.Insns[k].Row().Width / 8), true, true
	}
	return 0, 0, false, elsewhere(s.in, r.vals.E.RegionOf(addr))
}

// elsewhere: an access to region b, of whatever is known, meets nothing of a, which is a
// certain kind of memory.
func elsewhere(a, b symex.Region) bool {
	switch b.Kind {
	case symex.Any:
		return false
	case symex.Scalar:
		return a.Kind == symex.Stack
	}
	return a.Kind != b.Kind || a.Kind == symex.MapValue && a.Map != nil && b.Map != nil && a.Map.Name != b.Map.Name
}

// mergeRun looks for the widest store that replaces two or more of a run, and
// gives the last of those.
func (r *run) mergeRun(s *storeRun) (last int, ok bool) {
	var starts []int64
	for off := range s.bytes {
		starts = append(starts, off)
	}
	slices.Sort(starts)
	for _, w := range []uint8{64, 32, 16} {
		for _, off := range starts {
			if gone, limit, t, ok := r.covered(s, off, w); ok && r.mergeAt(s, gone, limit, off, w, t) {
				return gone[len(gone)-1], true
			}
		}
	}
	return 0, false
}

// bytesOf are the values of bytes, the lowest first; 0 stands for any value.
type bytesOf []smt.Term

// are reports whether t consists of the bytes.
func (b bytesOf) are(c *smt.Ctx, t smt.Term) bool {
	for i, v := range b {
		if v != 0 && c.Extract(t, uint8(8*i), 8) != v {
			return false
		}
	}
	return true
}

// term joins the bytes, if all are known or the rest may be zero.
func (b bytesOf) term(c *smt.Ctx, zero bool) (t smt.Term, ok bool) {
	for _, v := range b {
		switch {
		case v == 0 && !zero:
			return 0, false
		case v == 0:
			v = c.Const(0, 8)
		}
		if t == 0 {
			t = v
		} else {
			t = c.Concat(v, t)
		}
	}
	return t, true
}

// covered collects the stores inside w bits at off, if they fill them, and
// what they leave there. Bytes at the ends that a later store of the run
// overwrites, which is not inside, may have any value before: the one store for
// all must come before instruction limit then.
func (r *run) covered(s *storeRun, off int64, w uint8) (gone []int, limit int, t bytesOf, ok bool) {
	c := r.vals.C
	// The kernel wants natural alignment.
	switch s.in.Kind {
	case symex.Stack:
		at, exact := c.IsConst(c.Sub(s.base, r.vals.Before[s.at[0]].Regs[isa.FP]))
		if !exact || (int64(at)+off)%int64(w/8) != 0 {
			return nil, 0, nil, false
		}
	case symex.Context:
		if !r.vals.E.Scratch(c.Add(s.base, c.Const(uint64(off), 64)), int(w/8)) {
			return nil, 0, nil, false
		}
	}
	limit = s.at[len(s.at)-1] + 1
	t = make(bytesOf, w/8)
	have := make([]bool, w/8)
	for _, k := range s.at {
		in := &r.f.Insns[k]
		addr, _ := r.address(k, in.Dst)
		d, _ := c.IsConst(c.Sub(addr, s.base))
		from, to := int64(d), int64(d)+int64(in.Row().Width/8)
		if to <= off || from >= off+int64(w/8) {
			continue
		}
		outside := from < off || to > off+int64(w/8)
		if outside && s.in.Kind == symex.MapValue {
			return nil, 0, nil, false // others would see the bytes in between
		}
		v, _ := r.stored(k)
		switch {
		case outside:
			limit = min(limit, k)
		case k > limit:
			return nil, 0, nil, false
		default:
			gone = append(gone, k)
		}
		for b := max(from, off); b < min(to, off+int64(w/8)); b++ {
			have[b-off] = true
			t[b-off] = 0
			if !outside {
				t[b-off] = c.Extract(v, uint8(8*(b-from)), 8)
			}
		}
	}
	return gone, limit, t, len(gone) > 1 && !slices.Contains(have, false)
}
