package absint

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Walker runs a function along single paths, as the kernel's verifier does: no
// states are joined, so a branch keeps what earlier branches told.
type Walker struct{ a *analysis }

// NewWalker prepares f, which must satisfy prog.Check. Of what all callers of a
// subprogram hand over it takes the context alone: the kernel knows more of the
// rest at each call.
func NewWalker(f *prog.Func, opt Options) *Walker {
	g := *f
	for i := range g.Args {
		if g.Args[i].Kind != prog.ArgContext {
			g.Args[i] = prog.Arg{}
		}
	}
	return &Walker{newAnalysis(&g, opt)}
}

// Start is the state at the function's entry.
func (w *Walker) Start() *State { return newState(w.a.f) }

// Step runs instruction k on s, which it changes. Jumps only fall through.
func (w *Walker) Step(s *State, k int) { w.a.step(s, k) }

// Branch gives the states after conditional jump k; one that is not Reachable
// is a way that cannot be gone.
func (w *Walker) Branch(s *State, k int) (taken, fall *State) {
	in := &w.a.f.Insns[k]
	if in.Row().Kind != isa.KindCondJump {
		return s.clone(), s.clone()
	}
	return s.branch(in, true), s.branch(in, false)
}

// Clone copies s.
func (s *State) Clone() *State { return s.clone() }

// Forget makes a register hold nothing.
func (s *State) Forget(r isa.Reg) { s.Regs[r] = uninit }

// Covers reports whether every machine state that o describes is described by
// s: whether their join is s. It may answer no where that is not seen.
func (s *State) Covers(o *State) bool {
	if !s.Reachable || !o.Reachable {
		return s.Reachable
	}
	for r := range s.Regs {
		if s.Regs[r] != o.Regs[r] && joinValue(s.Regs[r], o.Regs[r], false) != s.Regs[r] {
			return false
		}
	}
	for k := range s.bytes {
		a, b := s.bytes[k], o.bytes[k]
		if a != b && (a.init && !b.init || a.t.m|b.t.m|(a.t.v^b.t.v) != a.t.m) {
			return false
		}
	}
	anything := cell{8, unknown}
	for at, c := range s.cells {
		if d, ok := o.cells[at]; c != anything && (!ok || c.size != d.size || joinValue(c.v, d.v, false) != c.v) {
			return false
		}
	}
	for at, d := range o.cells {
		if _, ok := s.cells[at]; !ok && d.v.Kind != Scalar && d.v.Kind != Uninit {
			return false
		}
	}
	for id, n := range s.proved {
		if o.proved[id] < n {
			return false
		}
	}
	return true
}

// Tracked reports whether a packet pointer's variable part is one that
// comparisons are remembered of.
func (v Value) Tracked() bool { return v.ID != noPacket }

// AtStart reports whether a packet pointer is a constant distance from the
// packet's start.
func (v Value) AtStart() bool { return v.ID == packetStart }
