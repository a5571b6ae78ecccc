package pass

import (
	"cmp"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// top is the offset of the frame pointer from the lowest address of the frame.
const top = isa.StackSize

// frame is what a function does with its stack, if every address is known. The
// bytes that are used together, or through one pointer, are an object.
type frame struct {
	*run
	parent [top]int
	used   stackBytes
	// bases are the instructions that make an address from the frame pointer,
	// with the byte that they point at; offsets those that have one in
	// themselves, with the byte that they access.
	bases, offsets map[int]int
	reads, writes  []stackBytes // bytes by instruction
	atEntry        stackBytes   // live at the start
}

// pack lets objects of the frame that are never wanted at the same time share
// bytes, so that the frame gets smaller.
func pack(r *run) {
	f := &frame{run: r, bases: map[int]int{}, offsets: map[int]int{},
		reads: make([]stackBytes, len(r.f.Insns)), writes: make([]stackBytes, len(r.f.Insns))}
	for i := range f.parent {
		f.parent[i] = i
	}
	for k := range r.f.Insns {
		if r.cfg.Reachable(k) && r.vals.Before[k] != nil && !f.see(k) {
			return
		}
	}
	moved, from, to := f.place()
	if to >= from || !r.ok(0, "the frame takes %d bytes instead of %d", to, from) {
		return
	}
	for k, at := range f.offsets {
		r.g.Insns[k].Off += int16(moved[f.find(at)])
	}
	for k, at := range f.bases {
		r.g.Insns[k].Imm += int64(moved[f.find(at)])
	}
}

func (f *frame) find(i int) int {
	for f.parent[i] != i {
		i = f.parent[i]
	}
	return i
}

// join makes the bytes [at,at+n) part of the object of byte with; false if they
// are not all in the frame.
func (f *frame) join(with, at, n int) bool {
	if at < 0 || n < 0 || at+n > top || with < 0 || with >= top {
		return false
	}
	f.used.Add(with, 1)
	f.used.Add(at, n)
	for i := at; i < at+n; i++ {
		f.parent[f.find(i)] = f.find(with)
	}
	return true
}

// see notes what instruction k does with the frame; false if that is not known
// or nothing that could be moved.
func (f *frame) see(k int) bool {
	in := &f.f.Insns[k]
	row := in.Row()
	n := int(row.Width / 8)
	pointer := func(x isa.Reg) (at int, exact, on bool) { return f.stackAt(k, x, 0) }
	switch {
	case row.Kind == isa.KindLoad:
		return f.access(k, in.Src, n, &f.reads[k])
	case row.Kind == isa.KindStore:
		if !row.Imm {
			if _, _, on := pointer(in.Src); on {
				return false // the address gets away
			}
		}
		return f.access(k, in.Dst, n, &f.writes[k])
	case row.Kind == isa.KindALU:
		return f.address(k)
	case in.IsCall():
		return f.call(k)
	case row.Kind == isa.KindLoadImm, row.Kind == isa.KindJump, row.Kind == isa.KindExit:
		return true
	}
	for x := isa.R0; x <= isa.FP; x++ {
		if in.Use().Has(x) {
			if _, _, on := pointer(x); on {
				return false
			}
		}
	}
	return true
}

// access notes a load or store of n bytes through base.
func (f *frame) access(k int, base isa.Reg, n int, set *stackBytes) bool {
	in := &f.f.Insns[k]
	at, exact, on := f.stackAt(k, base, in.Off)
	if !on {
		return true
	}
	if !exact || in.Frozen() {
		return false
	}
	set.Add(at, n)
	if with := at - int(in.Off); with != top {
		return f.join(with, at, n)
	}
	f.offsets[k] = at
	return f.join(at, at, n)
}

// address notes what an operation makes of an address.
func (f *frame) address(k int) bool {
	in := &f.f.Insns[k]
	row := in.Row()
	mov := row.Fn == isa.FnMov && row.Width == 64
	if row.ReadsSrc && !row.Imm {
		if _, exact, on := f.stackAt(k, in.Src, 0); on && (!mov || !exact) {
			return false
		}
	}
	if !row.ReadsDst {
		return true
	}
	at, exact, on := f.stackAt(k, in.Dst, 0)
	if !on {
		return true
	}
	if !exact || row.Fn != isa.FnAdd || row.Width != 64 || !row.Imm || in.Frozen() {
		return false
	}
	to := at + int(in.Imm)
	if at != top {
		return f.join(at, to, 1)
	}
	f.bases[k] = to
	return f.join(to, to, 1)
}

// call notes the bytes that a helper reads and writes; other callees may do
// anything with an address.
func (f *frame) call(k int) bool {
	in := &f.f.Insns[k]
	st := f.vals.Before[k]
	helper := in.Row().Kind == isa.KindCallHelper
	for a := range 5 {
		x := isa.R1 + isa.Reg(a)
		if st.Regs[x] == 0 || !in.Use().Has(x) {
			continue
		}
		at, exact, on := f.stackAt(k, x, 0)
		if !on {
			continue
		}
		if !helper || !exact || at == top {
			return false
		}
		h := isa.HelperOf(int32(in.Imm))
		n := f.argSize(k, h, a)
		if !h.Known || n < 0 || !f.join(at, at, n) {
			return false
		}
		switch h.Args[a] {
		case isa.ArgMapKey, isa.ArgMapValue, isa.ArgMemRead:
			f.reads[k].Add(at, n)
		case isa.ArgMemWrite, isa.ArgMemWriteFixed:
			f.writes[k].Add(at, n)
		case isa.ArgMemRW:
			f.reads[k].Add(at, n)
			f.writes[k].Add(at, n)
		default:
			return false
		}
	}
	return true
}

// argSize is the number of bytes that a helper accesses through argument a at
// k, -1 if that is not known.
func (r *run) argSize(k int, h *isa.Helper, a int) int {
	st := r.vals.Before[k]
	switch h.Args[a] {
	case isa.ArgMapKey, isa.ArgMapValue:
		for b, kind := range h.Args {
			if kind != isa.ArgMap {
				continue
			}
			if m := r.vals.E.RegionOf(st.Regs[isa.R1+isa.Reg(b)]).Map; m != nil && h.Args[a] == isa.ArgMapKey {
				return int(m.KeySize)
			} else if m != nil {
				return int(m.ValueSize)
			}
		}
	case isa.ArgMemRead, isa.ArgMemRW, isa.ArgMemWrite:
		if a == 4 || st.Regs[isa.R2+isa.Reg(a)] == 0 {
			return -1
		}
		if v, ok := r.vals.C.IsConst(st.Regs[isa.R2+isa.Reg(a)]); ok && v <= top {
			return int(v)
		}
	}
	return -1
}

// place finds new places: by how much each object moves, and the depth of the
// frame before and after.
func (f *frame) place() (moved map[int]int, from, to int) {
	type object struct {
		id, at, n int
		apart     map[int]bool
	}
	byID := map[int]*object{}
	var objects []*object
	for i := range top {
		if !f.used.Any(i, 1) {
			continue
		}
		id := f.find(i)
		o := byID[id]
		if o == nil {
			o = &object{id: id, at: i, apart: map[int]bool{}}
			byID[id] = o
			objects = append(objects, o)
			from = max(from, top-i)
		}
		o.n = i + 1 - o.at
	}
	ids := func(s *stackBytes) []int {
		var out []int
		for _, o := range objects {
			for i := o.at; i < o.at+o.n; i++ {
				if s.Any(i, 1) && f.find(i) == o.id {
					out = append(out, o.id)
					break
				}
			}
		}
		return out
	}
	live := f.liveBytes()
	for k := range f.f.Insns {
		if f.writes[k] == (stackBytes{}) {
			continue
		}
		after := live[k]
		for i := range after {
			after[i] |= f.writes[k][i] | f.reads[k][i]
		}
		all := ids(&after)
		for _, a := range ids(&f.writes[k]) {
			for _, b := range all {
				if a != b {
					byID[a].apart[b], byID[b].apart[a] = true, true
				}
			}
		}
	}
	// Bytes that are read though nothing wrote them are live from the start.
	for _, a := range ids(&f.atEntry) {
		for _, o := range objects {
			if o.id != a {
				o.apart[a], byID[a].apart[o.id] = true, true
			}
		}
	}
	slices.SortStableFunc(objects, func(a, b *object) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(b.at, a.at)) })
	moved = map[int]int{}
	for i, o := range objects {
		at := top - o.n
		for (at-o.at)%8 != 0 {
			at--
		}
		clash := func() bool {
			for _, p := range objects[:i] {
				q := p.at + moved[p.id]
				if o.apart[p.id] && at < q+p.n && q < at+o.n {
					return true
				}
			}
			return false
		}
		for clash() {
			at -= 8
		}
		if at < 0 {
			return nil, from, from
		}
		moved[o.id] = at - o.at
		to = max(to, top-at)
	}
	return moved, from, to
}

// liveBytes solves which bytes are still read after each instruction.
func (f *frame) liveBytes() []stackBytes {
	n := len(f.f.Insns)
	before, after := make([]stackBytes, n), make([]stackBytes, n)
	for changed := true; changed; {
		changed = false
		for k := n - 1; k >= 0; k-- {
			var s stackBytes
			for _, t := range prog.Succs(f.f, k) {
				for i := range s {
					s[i] |= before[t][i]
				}
			}
			after[k] = s
			sure := f.f.Insns[k].Row().Kind == isa.KindStore // a helper may fail to write
			for i := range s {
				if sure {
					s[i] &^= f.writes[k][i]
				}
				s[i] |= f.reads[k][i]
			}
			if s != before[k] {
				before[k], changed = s, true
			}
		}
	}
	f.atEntry = before[0]
	return after
}
