package symex

import (
	"errors"
	"fmt"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// ErrUnsupported is returned for an instruction that has no model.
var ErrUnsupported = errors.New("no model of the instruction")

// Step executes instruction in on s, which it changes. For a conditional jump
// it returns the condition instead; for everything else cond is 0.
func (e *Engine) Step(s *State, in *prog.Insn) (cond smt.Term, err error) {
	row := in.Row()
	o := &operands{c: e.C, dst: s.Regs[in.Dst], src: s.Regs[in.Src], r0: s.Regs[isa.R0]}
	o.imm = e.C.Const(uint64(in.Imm), 64)
	off := e.C.Const(uint64(int64(in.Off)), 64)
	if in.Patched() {
		o.imm, off = e.patched(in)
	}
	address := func(r isa.Reg) (smt.Term, error) {
		if s.Regs[r] == 0 {
			return 0, fmt.Errorf("%w: r%d", ErrUninitialized, r)
		}
		return e.C.Add(s.Regs[r], off), nil
	}
	switch row.Kind {
	case isa.KindNop, isa.KindJump:
		return 0, nil
	case isa.KindALU:
		s.Regs[in.Dst] = isa.Eval[smt.Term](row.Result, o)
	case isa.KindLoadImm:
		s.Regs[in.Dst] = e.wideImmediate(in, o.imm)
	case isa.KindLoad:
		a, err := address(in.Src)
		if err != nil {
			return 0, err
		}
		if in.Patched() && in.Ref.Signed && row.Width < 64 {
			v := e.C.UF("patched-field", row.Width, e.Memory(s), e.stackIfPointer(s, a), a)
			if row.Signed {
				s.Regs[in.Dst] = e.C.SExt(v, 64)
			} else {
				s.Regs[in.Dst] = e.C.ZExt(v, 64)
			}
			return 0, nil
		}
		if in.Patched() { // the loader may change the width too
			v := e.C.UF("patched-"+row.Name, 64, e.Memory(s), e.stackIfPointer(s, a), a)
			if e.RegionOf(a).framed() {
				e.SetRegion(v, Region{Kind: Any})
			}
			s.Regs[in.Dst] = v
			return 0, nil
		}
		v, whole, err := e.read(s, a, row.Width)
		if err != nil {
			return 0, err
		}
		if whole {
			if row.Signed {
				v = e.C.UF("signed", 64, v)
			}
			s.Regs[in.Dst] = v
			return 0, nil
		}
		o.mem = v
		s.Regs[in.Dst] = isa.Eval[smt.Term](row.Result, o)
	case isa.KindStore:
		a, err := address(in.Dst)
		if err != nil {
			return 0, err
		}
		v := isa.Eval[smt.Term](row.Store, o)
		if o.missing {
			break
		}
		if in.Patched() {
			if !row.Imm {
				v = s.Regs[in.Src]
			}
			e.storeUnknown(s, a, e.C.UF("patched-"+row.Name, 0, e.Memory(s), e.stackIfPointer(s, a), a, v))
			return 0, nil
		}
		return 0, e.store(s, a, v)
	case isa.KindAtomic:
		return 0, e.atomic(s, in, o, address)
	case isa.KindCondJump:
		cond = isa.Eval[smt.Term](row.Cond, o)
	case isa.KindMayGoto:
		s.Effect = e.token("may_goto", s, s.Effect)
		return e.C.UF("taken", 1, s.Effect), nil
	case isa.KindCallHelper:
		return 0, e.callHelper(s, in)
	case isa.KindCallFunc, isa.KindCallKfunc, isa.KindCallReg:
		return 0, e.callUnknown(s, in)
	case isa.KindLoadPacket:
		if s.Regs[isa.R6] == 0 || !row.Imm && s.Regs[in.Src] == 0 {
			return 0, ErrUninitialized
		}
		index := o.imm
		if !row.Imm {
			index = e.C.Add(index, s.Regs[in.Src])
		}
		// It ends the program when the offset is outside the packet.
		s.Effect = e.token(row.Name, s, s.Effect, e.Memory(s), s.Regs[isa.R6], index)
		e.clobber(s, e.C.UF("result", 64, s.Effect))
	case isa.KindExit:
		if s.Regs[isa.R0] == 0 && e.Entry { // others may return nothing
			return 0, fmt.Errorf("%w: r0", ErrUninitialized)
		}
	default:
		return 0, fmt.Errorf("%w: %s", ErrUnsupported, row.Name)
	}
	if o.missing {
		return 0, fmt.Errorf("%w: %s", ErrUninitialized, isa.Format(in.Insn, ""))
	}
	return cond, nil
}

// patched gives the operand fields that the loader will fill in: unknown, the
// same wherever the same record is used.
func (e *Engine) patched(in *prog.Insn) (imm, off smt.Term) {
	var key any = in.Ref
	if in.Ref.Kind == prog.RefCORE {
		key = in.Ref.Name
	}
	id, ok := e.refs[key]
	if !ok {
		id = len(e.refs)
		e.refs[key] = id
	}
	imm = e.C.SExt(e.C.Var(fmt.Sprintf("patched-imm%d", id), 32), 64)
	off = e.C.SExt(e.C.Var(fmt.Sprintf("patched-off%d", id), 16), 64)
	if in.Row().Kind == isa.KindLoadImm {
		imm = e.C.Var(fmt.Sprintf("patched-wide%d", id), 64)
	}
	return imm, off
}

func (e *Engine) wideImmediate(in *prog.Insn, imm smt.Term) smt.Term {
	r := in.Ref
	if r == nil {
		if f := in.Row().Form; f != isa.FormConst {
			return e.C.UF(fmt.Sprintf("address%d", f), 64, imm)
		}
		return imm
	}
	switch r.Kind {
	case prog.RefMap:
		t := e.C.UF("map:"+r.Name, 64)
		e.SetRegion(t, Region{Kind: MapPtr, Map: r.Map})
		e.names(r.Name)
		return t
	case prog.RefMapValue, prog.RefKconfig:
		base, off := "data:"+r.Name, r.Off
		if r.Loose {
			base, off = fmt.Sprintf("%s#%d+%d", base, r.ID, r.Off), 0
		}
		t := e.C.UF(base, 64)
		e.SetRegion(t, Region{Kind: MapValue, Map: r.Map})
		if r.Map == nil {
			e.SetRegion(t, Region{})
		}
		return e.C.Add(t, e.C.Const(uint64(off), 64))
	case prog.RefCORE:
		return imm
	}
	return e.C.UF(fmt.Sprintf("symbol%d:%s", r.Kind, r.Name), 64, e.C.Const(uint64(r.Off), 64), e.C.Const(uint64(r.ID), 64))
}

// clobber ends a call: r0 gets the result, r1 to r5 must not be read.
func (e *Engine) clobber(s *State, result smt.Term) {
	s.Regs[isa.R0] = result
	for r := isa.R1; r <= isa.R5; r++ {
		s.Regs[r] = 0
	}
}

// token makes the token of a call and lets Align identify it with another.
func (e *Engine) token(name string, s *State, args ...smt.Term) smt.Term {
	t := e.aligned(e.C.UF("call:"+name, 0, args...), s)
	e.made(t)
	return t
}

func (e *Engine) aligned(t smt.Term, s *State) smt.Term {
	if e.Align != nil {
		t = e.Align(t, s)
	}
	return t
}

func (e *Engine) made(t smt.Term) {
	if e.OnToken != nil {
		e.OnToken(t)
	}
}

func (e *Engine) atomic(s *State, in *prog.Insn, o *operands, address func(isa.Reg) (smt.Term, error)) error {
	row := in.Row()
	base := in.Dst
	if row.Fn == isa.FnLoadAcq {
		base = in.Src
	}
	a, err := address(base)
	if err != nil {
		return err
	}
	if _, ok := e.stackOffset(a); ok {
		v, err := e.load(s, a, int(row.Width/8))
		if err != nil {
			return err
		}
		o.mem = v
	} else {
		if row.Fn != isa.FnLoadAcq && o.src == 0 || row.Fn == isa.FnCmpXchg && o.r0 == 0 {
			return ErrUninitialized
		}
		if o.mem, err = e.oldValue(s, a, o, row); err != nil {
			return err
		}
		if row.Fetch || row.Fn == isa.FnCmpXchg || row.Fn == isa.FnLoadAcq || row.Fn == isa.FnStoreRel {
			// It orders accesses: no load of shared memory passes it.
			e.havoc(s, s.Effect, keepPrivate())
		}
	}
	if row.Store != nil {
		v := isa.Eval[smt.Term](row.Store, o)
		if o.missing {
			return ErrUninitialized
		}
		if err := e.store(s, a, v); err != nil {
			return err
		}
	}
	if row.Result != nil {
		v := isa.Eval[smt.Term](row.Result, o)
		switch {
		case row.Fn == isa.FnCmpXchg && row.Width == 32:
			// Linux 6.18 can leave the upper half of R0 as it was where the
			// exchange succeeds: it is nothing to rely on, in either program.
			s.Regs[isa.R0] = e.C.Concat(e.C.UF("cmpxchg-upper", 32, s.Effect, o.mem), e.C.Extract(v, 0, 32))
		case row.Fn == isa.FnCmpXchg:
			s.Regs[isa.R0] = v
		case row.Fetch:
			s.Regs[in.Src] = v
		case row.Fn == isa.FnLoadAcq:
			s.Regs[in.Dst] = v
		}
	}
	if o.missing {
		return ErrUninitialized
	}
	return nil
}

// oldValue is what an atomic operation finds at a: what other processors made
// of it, unless the operation may count as a plain load and store.
func (e *Engine) oldValue(s *State, a smt.Term, o *operands, row *isa.Row) (smt.Term, error) {
	args := []smt.Term{s.Effect, e.Memory(s), e.stackIfPointer(s, a), a}
	if row.Fn != isa.FnLoadAcq {
		args = append(args, e.C.Extract(o.src, 0, row.Width))
	}
	if row.Fn == isa.FnCmpXchg {
		args = append(args, e.C.Extract(o.r0, 0, row.Width))
	}
	tok := e.aligned(e.C.UF("call:"+row.Name, 0, args...), s)
	if e.Plain != nil && row.ReadModifyWrite() && e.Plain(tok) {
		e.relies(AtomicsAllowed)
		return e.load(s, a, int(row.Width/8))
	}
	e.made(tok)
	s.Effect = tok
	old := e.C.UF("old", row.Width, tok)
	if e.RegionOf(a).framed() {
		e.SetRegion(old, Region{Kind: Any})
	}
	return old, nil
}

// AtomicsAllowed is the assumption of a proof that took an atomic operation for
// a plain read-modify-write.
const AtomicsAllowed = "plain read-modify-writes may become atomic operations"

// stackIfPointer is the frame's contents where t may lead into the frame.
func (e *Engine) stackIfPointer(s *State, t smt.Term) smt.Term {
	if e.RegionOf(t).framed() {
		return e.stackToken(s)
	}
	return e.C.UF("no-frame", 0)
}

// storeUnknown makes all memory that a store to a may change depend on tok.
func (e *Engine) storeUnknown(s *State, a, tok smt.Term) {
	e.havoc(s, tok, nil)
	if e.RegionOf(a).framed() {
		e.clobberStack(s, tok)
	}
}
