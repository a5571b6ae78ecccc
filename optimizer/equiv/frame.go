package equiv

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// FrameBytes is a set of bytes of the frame, counted from its low end.
type FrameBytes [isa.StackSize / 64]uint64

// Add puts in n bytes from at on, as far as the frame has them.
func (s *FrameBytes) Add(at, n int) {
	for i := max(at, 0); i < at+n && i < isa.StackSize; i++ {
		s[i/64] |= 1 << (i % 64)
	}
}

// Remove takes out n bytes from at on.
func (s *FrameBytes) Remove(at, n int) {
	for i := max(at, 0); i < at+n && i < isa.StackSize; i++ {
		s[i/64] &^= 1 << (i % 64)
	}
}

// Any reports whether one of n bytes from at on is in the set.
func (s *FrameBytes) Any(at, n int) bool {
	for i := max(at, 0); i < at+n && i < isa.StackSize; i++ {
		if s[i/64]>>(i%64)&1 == 1 {
			return true
		}
	}
	return false
}

// All puts in all bytes.
func (s *FrameBytes) All() {
	for i := range s {
		s[i] = ^uint64(0)
	}
}

// OnFrame tells where in the frame the address is that register base has before
// instruction k, plus off: at counts from the frame's low end if exact. on is false
// only if it is certainly elsewhere.
func (v *Values) OnFrame(k int, base isa.Reg, off int16) (at int, exact, on bool) {
	st := v.Before[k]
	if st == nil || st.Regs[base] == 0 {
		return 0, false, true
	}
	reg := v.E.RegionOf(st.Regs[base])
	if reg.Kind != symex.Stack && reg.Kind != symex.Any {
		return 0, false, false
	}
	d := v.C.Sub(st.Regs[base], st.Regs[isa.FP])
	if x, ok := v.C.IsConst(d); ok && reg.Kind == symex.Stack {
		return isa.StackSize + int(int64(x)) + int(off), true, true
	}
	return 0, false, true
}

// FrameStep turns the bytes of the frame that may be read after instruction k of f,
// whose values these are, into those that may be read before it.
func (v *Values) FrameStep(f *prog.Func, k int, live *FrameBytes) {
	in := &f.Insns[k]
	row := in.Row()
	n := int(row.Width / 8)
	switch {
	case v.Before[k] == nil:
		*live = FrameBytes{} // f does not get here
	case row.Kind == isa.KindLoad:
		if at, exact, on := v.OnFrame(k, in.Src, in.Off); on {
			if exact && !in.Frozen() {
				live.Add(at, n)
			} else {
				live.All()
			}
		}
	case row.Kind == isa.KindStore:
		if at, exact, _ := v.OnFrame(k, in.Dst, in.Off); exact && !in.Frozen() {
			live.Remove(at, n)
		}
	case row.Kind == isa.KindAtomic:
		base := in.Dst
		if row.Fn == isa.FnLoadAcq {
			base = in.Src
		}
		if _, _, on := v.OnFrame(k, base, in.Off); on {
			live.All()
		}
	case in.IsCall():
		v.frameCall(in, k, live)
	}
}

// frameCall is FrameStep of a call.
func (v *Values) frameCall(in *prog.Insn, k int, live *FrameBytes) {
	st := v.Before[k]
	var h *isa.Helper
	if in.Row().Kind == isa.KindCallHelper {
		if h = isa.HelperOf(int32(in.Imm)); !h.Known {
			h = nil
		}
	}
	if h != nil {
		for a := range 4 {
			reg := isa.R1 + isa.Reg(a)
			if h.Args[a] != isa.ArgMemWrite || st.Regs[reg] == 0 {
				continue
			}
			// It writes all of them, whatever comes of it.
			at, exact, _ := v.OnFrame(k, reg, 0)
			if n, ok := v.C.IsConst(st.Regs[reg+1]); ok && exact && n <= isa.StackSize {
				live.Remove(at, int(n))
			}
		}
	}
	var m *prog.Map
	for a := range 5 {
		reg := isa.R1 + isa.Reg(a)
		if st.Regs[reg] == 0 || h != nil && h.Args[a] == isa.ArgNone {
			continue
		}
		if h != nil && h.Args[a] == isa.ArgMap {
			m = v.E.RegionOf(st.Regs[reg]).Map
		}
		at, exact, on := v.OnFrame(k, reg, 0)
		if !on {
			continue
		}
		size := -1
		if h != nil && exact {
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
				if n, ok := v.C.IsConst(st.Regs[reg+1]); ok && n <= isa.StackSize {
					size = int(n)
					if h.Args[a] == isa.ArgMemWrite {
						size = 0
					}
				}
			}
		}
		if size < 0 {
			live.All()
			return
		}
		live.Add(at, size)
	}
}

// FrameLive gives the bytes of the frame that may be read after each instruction
// of f, whose values these are, and before.
func (v *Values) FrameLive(f *prog.Func) (before, after []FrameBytes) {
	n := len(f.Insns)
	before, after = make([]FrameBytes, n), make([]FrameBytes, n)
	for changed := true; changed; {
		changed = false
		for k := n - 1; k >= 0; k-- {
			var live FrameBytes
			for _, s := range prog.Succs(f, k) {
				for i := range live {
					live[i] |= before[s][i]
				}
			}
			after[k] = live
			v.FrameStep(f, k, &live)
			if live != before[k] {
				before[k] = live
				changed = true
			}
		}
	}
	return before, after
}

// readNoMore: p does not read byte i of the frame any more from instruction at on,
// so what q leaves there does not matter, as long as q does not read it either.
func (l *local) readNoMore(at, i int) bool {
	if l.frameBefore == nil {
		l.frameBefore, _ = l.vals.FrameLive(l.s.p.f)
	}
	if l.frameBefore[at].Any(i, 1) {
		return false
	}
	if !l.differ.Any(i, 1) {
		l.differ.Add(i, 1)
		l.differMore = true
	}
	return true
}

// spoil puts what is equal to nothing into the bytes of q's frame that may differ
// from p's where a window starts, before instruction at.
func (l *local) spoil(qs *symex.State, at int) {
	if l.differ == (FrameBytes{}) {
		return
	}
	c := l.s.c
	for i := range isa.StackSize {
		if l.differ.Any(i, 1) && !l.frameBefore[at].Any(i, 1) {
			l.s.e.SetStackByte(qs, i, c.UF("junk", 8, c.Const(uint64(l.windows), 32), c.Const(uint64(i), 16)))
		}
	}
}
