package pass

import (
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// reload reads a value again behind a call instead of keeping it over the call in a
// register that the function then has to save, where what it was read from has not
// changed and its address is at hand: `r7 = *(r6 + 48); r2 = r7; call; r7 += 4`
// becomes `r2 = *(r6 + 48); call; r2 = *(r6 + 48); r2 += 4`.
func reload(r *run) {
	for k := range r.f.Insns {
		in := &r.f.Insns[k]
		if in.Row().Kind != isa.KindLoad || in.Frozen() || !isa.CalleeSaved.Has(in.Dst) || in.Src == in.Dst || !r.private(k) {
			continue
		}
		at, ok := r.reloads(k)
		if !ok {
			continue
		}
		f, ok := r.lightened(func(s *run) {
			for u, load := range at {
				s.later(u, load)
			}
		})
		if !ok || !r.ok(k, "read again behind calls: %s", text(in)) {
			continue
		}
		r.g = f
		return
	}
}

// private: the load at k reads memory that no other program writes meanwhile.
func (r *run) private(k int) bool {
	a, ok := r.address(k, r.f.Insns[k].Src)
	if !ok {
		return false
	}
	switch r.vals.E.RegionOf(a).Kind {
	case symex.Context, symex.Stack, symex.Packet, symex.Record:
		return true
	}
	return false
}

// reloads finds before which instructions what load k gives has to be read again if
// no call keeps it, and the loads that do so.
func (r *run) reloads(k int) (map[int]prog.Insn, bool) {
	in := &r.f.Insns[k]
	x := in.Dst
	if !r.live.After[k].Has(x) {
		return nil, false
	}
	w, ok := r.webOf(prog.Succs(r.f, k)[0], x)
	if !ok || !w.defs[k] {
		return nil, false
	}
	value, ok := r.result(k)
	if !ok {
		return nil, false
	}
	// Points where a call came after the last definition or use on some way.
	lost := map[int]bool{}
	touches := func(q int) bool { return w.uses[q] || w.defs[q] }
	for changed := true; changed; {
		changed = false
		for p := range w.at {
			for _, q := range r.predsOf(p) {
				if w.at[q] && !lost[p] && (r.f.Insns[q].IsCall() || lost[q]) && !touches(q) {
					lost[p], changed = true, true
				}
			}
		}
	}
	out := map[int]prog.Insn{}
	for u := range w.uses {
		if !lost[u] {
			continue
		}
		st, found := r.vals.Before[u], false
		if st == nil || st.Regs[x] != value {
			return nil, false
		}
		for y := isa.R6; y <= isa.FP && !found; y++ {
			if y == x || st.Regs[y] == 0 || st.Regs[y] != r.vals.Before[k].Regs[in.Src] {
				continue
			}
			load := r.at(k, in.Insn)
			load.Src = y
			after, err := r.vals.After(u, &load)
			if found = err == nil && after.Regs[x] == value; found {
				out[u] = load
			}
		}
		if !found {
			return nil, false
		}
	}
	return out, len(out) > 0
}

// lightened is the function with an edit and what follows from it, if it is lighter
// for it.
func (r *run) lightened(edit func(s *run)) (*prog.Func, bool) {
	s := r.on(r.f)
	edit(s)
	s.applyLater()
	f := s.settled().f
	return f, lighter(f, r.f)
}

// on is a run on another function, in which all sites are rewritten.
func (r *run) on(f *prog.Func) *run {
	s := &run{Config: r.Config, ctx: r.ctx, f: f, g: f.Clone(), allow: func(int) bool { return true }}
	s.cfg = prog.NewCFG(f)
	s.live = prog.NewLiveness(s.cfg)
	return s
}

// settled gives what a run made its registers anew, where that saves copies.
func (r *run) settled() *run {
	for _, pass := range []func(*run){deadCode, coalesce, coalesce, coalesce, coalesce} {
		r.g.Compact()
		Clean(r.g)
		r = r.on(r.g)
		pass(r)
	}
	r.g.Compact()
	Clean(r.g)
	return r.on(r.g)
}

// lighter: f has fewer slots or callee-saved registers than g, and not more of
// either.
func lighter(f, g *prog.Func) bool {
	saved := func(f *prog.Func) (n int) {
		var s isa.RegSet
		for k := range f.Insns {
			s |= f.Insns[k].Def() & isa.CalleeSaved
		}
		return bits.OnesCount(uint(s))
	}
	a, b := saved(f)-saved(g), f.Slots()-g.Slots()
	return a <= 0 && b <= 0 && a+b < 0
}
