package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// removable: executing the instruction has no effect but the registers that it
// writes. Loads are: the input's loads are known to be safe.
func removable(in *prog.Insn) bool {
	switch in.Row().Kind {
	case isa.KindALU, isa.KindLoadImm, isa.KindLoad, isa.KindAddrCast:
		return true
	case isa.KindCallHelper:
		h := isa.HelperOf(int32(in.Imm))
		if !h.Known || h.Purity == isa.PureNone {
			return false
		}
		for _, a := range h.Args {
			if a == isa.ArgMemWrite || a == isa.ArgMemRW || a == isa.ArgMemWriteFixed {
				return false
			}
		}
		return true
	}
	return false
}

func deadCode(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Op == isa.Nop {
			continue
		}
		if !r.cfg.Reachable(k) {
			if r.ok(k, "unreachable: %s", text(in)) {
				r.nop(k)
			}
			continue
		}
		if removable(in) && in.Def()&r.live.After[k] == 0 && r.ok(k, "result unused: %s", text(in)) {
			r.nop(k)
		}
	}
}

// Clean removes what a rewrite left without use: unreachable and dead
// instructions and jumps to the next instruction. It changes f.
func Clean(f *prog.Func) {
	for {
		before := len(f.Insns)
		g := prog.NewCFG(f)
		for k := range f.Insns {
			if !g.Reachable(k) {
				f.Insns[k] = prog.New(isa.Insn{Op: isa.Nop})
			}
		}
		live := prog.NewLiveness(g)
		for k := range f.Insns {
			in := &f.Insns[k]
			if in.Op != isa.Nop && removable(in) && in.Def()&live.After[k] == 0 {
				f.Insns[k] = prog.New(isa.Insn{Op: isa.Nop})
			}
			if kind := in.Row().Kind; (kind == isa.KindJump || kind == isa.KindCondJump) && in.Target >= 0 {
				// Nothing but no-ops between a jump and its target.
				t := in.Target
				next := k + 1
				for next < t && f.Insns[next].Op == isa.Nop {
					next++
				}
				if next == t {
					*in = prog.New(isa.Insn{Op: isa.Nop})
				}
			}
		}
		f.Compact()
		if len(f.Insns) == before {
			return
		}
	}
}

// stackBytes is a set of bytes of the frame.
type stackBytes [isa.StackSize / 64]uint64

func (s *stackBytes) add(at, n int) {
	for i := at; i < at+n && i < isa.StackSize; i++ {
		if i >= 0 {
			s[i/64] |= 1 << (i % 64)
		}
	}
}

func (s *stackBytes) remove(at, n int) {
	for i := max(at, 0); i < at+n && i < isa.StackSize; i++ {
		s[i/64] &^= 1 << (i % 64)
	}
}

func (s *stackBytes) any(at, n int) bool {
	for i := max(at, 0); i < at+n && i < isa.StackSize; i++ {
		if s[i/64]>>(i%64)&1 == 1 {
			return true
		}
	}
	return false
}

func (s *stackBytes) all() {
	for i := range s {
		s[i] = ^uint64(0)
	}
}

// stackAt gives the frame offset of a direct or derived stack access.
func (r *run) stackAt(k int, base isa.Reg, off int16) (at int, exact, onStack bool) {
	st := r.vals.Before[k]
	if st == nil || st.Regs[base] == 0 {
		return 0, false, true
	}
	reg := r.vals.E.RegionOf(st.Regs[base])
	if reg.Kind != symex.Stack && reg.Kind != symex.Any {
		return 0, false, false
	}
	d := r.vals.C.Sub(st.Regs[base], st.Regs[isa.FP])
	if v, ok := r.vals.C.IsConst(d); ok && reg.Kind == symex.Stack {
		return isa.StackSize + int(int64(v)) + int(off), true, true
	}
	return 0, false, true
}

// effectOnStack applies what instruction k does, backwards, to the live bytes.
func (r *run) effectOnStack(k int, live *stackBytes) {
	in := &r.f.Insns[k]
	row := in.Row()
	n := int(row.Width / 8)
	switch {
	case row.Kind == isa.KindLoad:
		if at, exact, on := r.stackAt(k, in.Src, in.Off); on {
			if exact && !in.Frozen() {
				live.add(at, n)
			} else {
				live.all()
			}
		}
	case row.Kind == isa.KindStore:
		if at, exact, _ := r.stackAt(k, in.Dst, in.Off); exact && !in.Frozen() {
			live.remove(at, n)
		}
	case row.Kind == isa.KindAtomic:
		if _, _, on := r.stackAt(k, in.Dst, in.Off); on {
			live.all()
		}
	case in.IsCall():
		r.callReads(k, live)
	}
}

func (r *run) callReads(k int, live *stackBytes) {
	in := &r.f.Insns[k]
	st := r.vals.Before[k]
	if st == nil {
		live.all()
		return
	}
	var h *isa.Helper
	if in.Row().Kind == isa.KindCallHelper {
		h = isa.HelperOf(int32(in.Imm))
	}
	var m *prog.Map
	if h != nil && h.Known {
		for a := range 4 {
			reg := isa.R1 + isa.Reg(a)
			if h.Args[a] != isa.ArgMemWrite || st.Regs[reg] == 0 {
				continue
			}
			// It writes all of them, whatever comes of it.
			at, exact, _ := r.stackAt(k, reg, 0)
			if v, ok := r.vals.C.IsConst(st.Regs[reg+1]); ok && exact && v <= isa.StackSize {
				live.remove(at, int(v))
			}
		}
	}
	for a := range 5 {
		reg := isa.R1 + isa.Reg(a)
		if st.Regs[reg] == 0 || h != nil && h.Args[a] == isa.ArgNone {
			continue
		}
		if h != nil && h.Args[a] == isa.ArgMap {
			m = r.vals.E.RegionOf(st.Regs[reg]).Map
		}
		at, exact, on := r.stackAt(k, reg, 0)
		if !on {
			continue
		}
		size := -1
		if h != nil && h.Known && exact {
			switch h.Args[a] {
			case isa.ArgMapKey:
				if m != nil {
					size = int(m.KeySize)
				}
			case isa.ArgMapValue:
				if m != nil {
					size = int(m.ValueSize)
				}
			case isa.ArgMemWriteFixed:
				size = 0
			case isa.ArgMemRead, isa.ArgMemRW, isa.ArgMemWrite:
				if v, ok := r.vals.C.IsConst(st.Regs[reg+1]); ok && v <= isa.StackSize {
					size = int(v)
					if h.Args[a] == isa.ArgMemWrite {
						size = 0
					}
				}
			}
		}
		if size < 0 {
			live.all()
			return
		}
		live.add(at, size)
	}
}

// deadStores removes stores to stack bytes that are not read afterwards.
func deadStores(r *run) {
	n := len(r.f.Insns)
	before := make([]stackBytes, n)
	after := make([]stackBytes, n)
	for changed := true; changed; {
		changed = false
		for k := n - 1; k >= 0; k-- {
			var live stackBytes
			for _, s := range prog.Succs(r.f, k) {
				for i := range live {
					live[i] |= before[s][i]
				}
			}
			after[k] = live
			r.effectOnStack(k, &live)
			if live != before[k] {
				before[k] = live
				changed = true
			}
		}
	}
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindStore || r.vals.Before[k] == nil || in.Frozen() {
			continue
		}
		at, exact, _ := r.stackAt(k, in.Dst, in.Off)
		if exact && !after[k].any(at, int(in.Row().Width/8)) && r.ok(k, "nobody reads the stack bytes: %s", text(in)) {
			r.nop(k)
		}
	}
}
