package pass

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// maxExtension is how many instructions behind a load its sign may be extended.
const maxExtension = 8

// signedLoads loads with the sign what is loaded to extend its sign, and used otherwise
// for its low bits at most.
func signedLoads(r *run) {
	if r.MCPU < 4 {
		return
	}
	for _, b := range r.cfg.Order {
		blk := r.cfg.Blocks[b]
		for j := blk.From; j < blk.To; j++ {
			in := &r.f.Insns[j]
			row := in.Row()
			st := r.vals.Before[j]
			if row.Kind != isa.KindLoad || row.Signed || row.Width == 64 || in.Frozen() && !in.Ref.Signed || st == nil || st.Regs[in.Src] == 0 {
				continue
			}
			// The kernel rewrites accesses to most contexts, and takes none with a sign there.
			if k := r.vals.E.RegionOf(st.Regs[in.Src]).Kind; k == symex.Context && !asIs(r.f.Type) {
				continue
			}
			if !r.signedLoad(j, min(blk.To, j+1+maxExtension)) {
				r.signedUses(j)
			}
		}
	}
}

// signedLoad makes the load at j a signed one if an instruction before to
// extends its sign, and nothing else has a use for it: it tells whether that is a site.
func (r *run) signedLoad(j, to int) bool {
	load := r.f.Insns[j]
	load.Op = isa.Load(load.Row().Width, true)
	st := r.vals.Before[j].Clone()
	if _, err := r.vals.E.Step(st, &load); err != nil {
		return false
	}
	goal := st.Regs[load.Dst]
	derived := isa.Regs(load.Dst) // registers that hold something made of the load
	var chain []int
	for k := j + 1; k < to; k++ {
		in := &r.f.Insns[k]
		if in.Use()&derived == 0 {
			if in.Def()&derived != 0 {
				return false
			}
			continue
		}
		if !plain(in) || in.Row().Kind != isa.KindALU || in.Use()&^derived != 0 {
			return false
		}
		chain = append(chain, k)
		derived |= in.Def()
		if t, ok := r.result(k); !ok || t != goal {
			continue
		}
		if r.live.After[k]&derived&^isa.Regs(in.Dst) != 0 {
			return false
		}
		if !r.ok(j, "loaded with its sign: %s", text(&r.f.Insns[j])) {
			return true
		}
		r.g.Insns[j].Op = load.Op
		for _, c := range chain {
			r.nop(c)
		}
		if in.Dst != load.Dst {
			r.set(k, movReg(in.Dst, load.Dst))
		}
		return true
	}
	return false
}

// asIs: loads from the context of the type stay as they are when the kernel loads the
// program (no convert_ctx_access in kernel/trace/bpf_trace.c).
func asIs(t prog.Type) bool {
	return t == prog.TypeTracepoint || t == prog.TypeRawTracepoint || t == prog.TypeRawTracepointWritable
}

// signedUses makes the load at j a signed one where its value is extended later, maybe
// in other blocks, and all else that is done with it looks at the bits that were loaded only.
func (r *run) signedUses(j int) {
	load := r.f.Insns[j].Insn
	width := load.Row().Width
	if j+1 >= len(r.f.Insns) || !r.live.After[j].Has(load.Dst) {
		return
	}
	w, ok := r.webOf(j+1, load.Dst)
	if !ok || len(w.defs) != 1 || !w.defs[j] {
		return
	}
	change := map[int]isa.Insn{}
	copies := 0
	for u := range w.uses {
		in := &r.f.Insns[u]
		row := in.Row()
		switch {
		case in.Frozen():
			return
		case row.Fn == isa.FnMovSX && row.Width == 64 && row.Bits == width && in.Src == load.Dst:
			change[u] = movReg(in.Dst, load.Dst)
			copies++
		case row.Kind == isa.KindCondJump && width == 32 && row.Width == 64 && row.Imm && in.Imm >= 0 && (row.Fn == isa.FnJeq || row.Fn == isa.FnJne):
			n := in.Insn
			n.Op = isa.CondJump(row.Fn, 32, true)
			change[u] = n
		case row.Kind == isa.KindCondJump && width == 32 && row.Width == 32:
		case row.Kind == isa.KindStore && !row.Imm && row.Width <= width && in.Dst != load.Dst:
		default:
			return
		}
	}
	if copies == 0 || !r.ok(j, "loaded with its sign for all uses: %s", text(&r.f.Insns[j])) {
		return
	}
	r.g.Insns[j].Op = isa.Load(width, true)
	for u, n := range change {
		target := r.g.Insns[u].Target
		r.set(u, n)
		r.g.Insns[u].Target = target
	}
}
