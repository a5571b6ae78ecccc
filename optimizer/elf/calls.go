package elf

import (
	delf "debug/elf"
	"encoding/binary"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/superbpf/superbpf/optimizer/absint"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// findArgs says of each subprogram what it is given: static ones by all their
// calls, global ones, which the kernel checks by themselves, by their type.
func (o *Object) findArgs(spec *ebpf.CollectionSpec) {
	calls := absint.Calls{Funcs: o.list, Closed: o.closed()}
	at := map[*function]int{}
	for i, f := range o.funcs {
		at[f] = i
		if f.Global && !f.Entry {
			f.byType(spec)
		}
	}
	calls.Callee = func(r *prog.Ref) int {
		if t := o.rels[r].target; t != nil {
			return at[t]
		}
		return -1
	}
	for i := range o.funcs {
		if calls.Closed[i] {
			calls.Summarize()
			return
		}
	}
}

// closed tells which functions nothing enters but direct calls in the object: no
// other object can name them, and nothing takes their address.
func (o *Object) closed() []bool {
	open := map[*function]bool{}
	openAt := func(sym delf.Symbol) {
		for _, f := range o.funcs {
			if f.sec == int(sym.Section) && (delf.ST_TYPE(sym.Info) == delf.STT_SECTION || f.off == int(sym.Value)) {
				open[f] = true
			}
		}
	}
	all := func() []bool { return make([]bool, len(o.funcs)) }
	for _, s := range o.file.Sections {
		if s.Type != delf.SHT_REL && s.Type != delf.SHT_RELA || int(s.Info) >= len(o.file.Sections) {
			continue
		}
		to := o.file.Sections[s.Info]
		if to.Flags&delf.SHF_ALLOC == 0 || to.Flags&delf.SHF_EXECINSTR != 0 {
			continue
		}
		data, err := s.Data()
		if err != nil || s.Type == delf.SHT_RELA {
			return all()
		}
		for ; len(data) >= 16; data = data[16:] {
			n := int(delf.R_SYM64(binary.LittleEndian.Uint64(data[8:])))
			if n < 1 || n > len(o.syms) {
				return all()
			}
			openAt(o.syms[n-1])
		}
	}
	for _, sym := range o.syms {
		for _, f := range o.funcs {
			if delf.ST_BIND(sym.Info) != delf.STB_LOCAL && f.sec == int(sym.Section) && int(sym.Value) >= f.off && int(sym.Value) < f.off+f.size {
				open[f] = true // another name for it
			}
		}
	}
	for _, f := range o.funcs {
		if f.Unsupported != "" {
			return all() // its calls are not known
		}
		for k := range f.Insns {
			in := &f.Insns[k]
			switch {
			case in.Ref == nil || in.Row().Kind == isa.KindCallFunc && in.Ref.Kind == prog.RefFunc:
			case in.Ref.Kind == prog.RefFunc:
				open[o.rels[in.Ref].target] = true
			case in.Ref.Kind == prog.RefOpaque:
				if n := int(o.rels[in.Ref].sym); n > 0 {
					openAt(o.syms[n-1])
				}
			}
		}
	}
	out := all()
	for i, f := range o.funcs {
		out[i] = !f.Entry && !open[f]
	}
	return out
}

// refuseCalledPrograms leaves alone programs that functions call, too: the copy
// that they call need not be given a context, and returns 64 bits.
func (o *Object) refuseCalledPrograms() {
	called := map[*function]bool{}
	for _, f := range o.funcs {
		for k := range f.Insns {
			if r := f.Insns[k].Ref; r != nil && f.Insns[k].Row().Kind == isa.KindCallFunc {
				called[o.rels[r].target] = true
			}
		}
	}
	for _, f := range o.funcs {
		if f.Entry && called[f] && f.Unsupported == "" {
			f.Unsupported, f.Insns = "functions call this program as a subprogram, too", nil
		}
	}
}

// findReads tells calls which arguments the function that they go to reads. What one
// reads may depend on what those read that it calls, so the answer sharpens.
func (o *Object) findReads(spec *ebpf.CollectionSpec) {
	for ref := range o.rels {
		if ref.Kind == prog.RefKfunc {
			ref.Reads = readsOfType(spec, ref.Name)
		}
	}
	for changed := true; changed; {
		changed = false
		for ref, r := range o.rels {
			if ref.Kind != prog.RefFunc || r.target == nil || r.target.Unsupported != "" {
				continue
			}
			if reads := prog.Reads(r.target.Func); ref.Reads == nil || *ref.Reads != reads {
				ref.Reads, changed = &reads, true
			}
		}
	}
}

// readsOfType gives the argument registers that a kernel function of this name has,
// nil if its type does not say.
func readsOfType(spec *ebpf.CollectionSpec, name string) *isa.RegSet {
	var fn *btf.Func
	if spec.Types == nil || spec.Types.TypeByName(name, &fn) != nil {
		return nil
	}
	p, ok := fn.Type.(*btf.FuncProto)
	if !ok || len(p.Params) > int(isa.R5) {
		return nil
	}
	var s isa.RegSet
	for i, param := range p.Params {
		if n, err := btf.Sizeof(param.Type); err != nil || n < 1 || n > 8 {
			return nil // variable arguments, or one in two registers
		}
		s = s.With(isa.R1 + isa.Reg(i))
	}
	return &s
}

// contexts names the type of the context by type of program, as the kernel's
// btf_is_prog_ctx_type does.
var contexts = map[prog.Type]string{prog.TypeXDP: "xdp_md", prog.TypeSchedCLS: "__sk_buff", prog.TypeSchedACT: "__sk_buff",
	prog.TypeSocketFilter: "__sk_buff", prog.TypeCgroupSKB: "__sk_buff", prog.TypeSKSKB: "__sk_buff", prog.TypeLWTIn: "__sk_buff",
	prog.TypeLWTOut: "__sk_buff", prog.TypeLWTXmit: "__sk_buff", prog.TypeLWTSeg6Local: "__sk_buff", prog.TypeFlowDissector: "__sk_buff",
	prog.TypeSKMsg: "sk_msg_md", prog.TypeSKReuseport: "sk_reuseport_md", prog.TypeSockOps: "bpf_sock_ops", prog.TypeCgroupSock: "bpf_sock",
	prog.TypeCgroupSockAddr: "bpf_sock_addr", prog.TypeSKLookup: "bpf_sk_lookup"}

// contextTag marks a parameter that is the context whatever its type says.
const contextTag = "arg:ctx"

// byType sets what the kernel makes of a global function's type: it is checked
// for any arguments of that type, and callers must hand over such.
func (f *function) byType(spec *ebpf.CollectionSpec) {
	var fn *btf.Func
	if spec.Types == nil || spec.Types.TypeByName(f.Name, &fn) != nil || fn.Linkage != btf.GlobalFunc {
		return // the kernel takes it for a static one
	}
	p, ok := fn.Type.(*btf.FuncProto)
	if !ok || len(p.Params) > len(f.Args) {
		return
	}
	f.Result = prog.ScalarArg
	for i, param := range p.Params {
		tagged := false
		if i < len(fn.ParamTags) {
			for _, t := range fn.ParamTags[i] {
				tagged = tagged || t == contextTag
			}
		}
		switch t := btf.UnderlyingType(param.Type).(type) {
		case *btf.Int, *btf.Enum:
			f.Args[i] = prog.ScalarArg
		case *btf.Pointer:
			s, ok := btf.UnderlyingType(t.Target).(*btf.Struct)
			if tagged || ok && f.Type != prog.TypeUnspec && s.Name == contexts[f.Type] {
				f.Args[i] = prog.Arg{Kind: prog.ArgContext}
			}
		}
	}
}
