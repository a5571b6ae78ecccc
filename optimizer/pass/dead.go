package pass

import (
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// removable: executing instruction k has no effect but the registers that it
// writes. Loads are: the input's loads are known to be safe.
func removable(f *prog.Func, g *prog.CFG, k int) bool {
	in := &f.Insns[k]
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
		return !h.MapValue || !prog.MapGiven(f, g, k).Marks()
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
		if removable(r.f, r.cfg, k) && in.Def()&r.live.After[k] == 0 && r.ok(k, "result unused: %s", text(in)) {
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
			if in.Op != isa.Nop && removable(f, g, k) && in.Def()&live.After[k] == 0 {
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
type stackBytes = equiv.FrameBytes

// stackAt gives the frame offset of a direct or derived stack access.
func (r *run) stackAt(k int, base isa.Reg, off int16) (at int, exact, onStack bool) {
	return r.vals.OnFrame(k, base, off)
}

// deadStores removes stores to stack bytes that are not read afterwards.
func deadStores(r *run) {
	_, after := r.vals.FrameLive(r.f)
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindStore || r.vals.Before[k] == nil || in.Frozen() {
			continue
		}
		at, exact, _ := r.stackAt(k, in.Dst, in.Off)
		if exact && !after[k].Any(at, int(in.Row().Width/8)) && r.ok(k, "nobody reads the stack bytes: %s", text(in)) {
			r.nop(k)
		}
	}
}
