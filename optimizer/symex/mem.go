package symex

import (
	"errors"
	"fmt"
	"maps"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// ErrUninitialized is returned when an execution reads a register that holds
// nothing.
var ErrUninitialized = errors.New("reads a register that holds nothing")

// ErrOutOfFrame is returned for a stack access outside the frame.
var ErrOutOfFrame = errors.New("accesses the stack outside the frame")

// load reads n bytes at addr as a term of 8n bits.
func (e *Engine) load(s *State, addr smt.Term, n int) (smt.Term, error) {
	c := e.C
	r := e.RegionOf(addr)
	if r.Kind == Stack {
		at, ok := e.stackOffset(addr)
		if !ok && e.outOfFrame(addr) || ok && !inFrame(at, n) {
			return 0, ErrOutOfFrame
		}
		if !ok {
			return e.stackLoadAnywhere(s, addr, n), nil
		}
		t := e.StackByte(s, at)
		for i := 1; i < n; i++ {
			t = c.Concat(e.StackByte(s, at+i), t)
		}
		return t, nil
	}
	if r.Kind == Any {
		if e.PreserveShared {
			e.access(s, "shared-load", addr, e.C.Const(uint64(n), 8))
		}
		tok := c.UF("everything", 0, e.Memory(s), e.stackToken(s))
		t := c.UF("load-anywhere", 8, tok, addr) // it may be an address of the frame
		for i := 1; i < n; i++ {
			t = c.Concat(c.UF("load-anywhere", 8, tok, e.at(addr, int64(i))), t)
		}
		return t, nil
	}
	r = e.Coarse.of(r)
	base, off := e.split(addr)
	from, known := e.source(s, r, e.class(r, base, off, n), base)
	if e.PreserveShared && r.shared() {
		from, known = e.access(s, "shared-load", addr, e.C.Const(uint64(n), 8), from), nil
	}
	var t smt.Term
	for i := range int64(n) {
		b, ok := known[off+i]
		if !ok {
			b = c.UF("load", 8, from, e.at(base, off+i))
		}
		if i > 0 {
			b = c.Concat(b, t)
		}
		t = b
	}
	return t, nil
}

// access makes an access to memory that others see an effect.
func (e *Engine) access(s *State, what string, args ...smt.Term) smt.Term {
	s.Effect = e.token(what, s, append(args, s.Effect)...)
	return s.Effect
}

func (e *Engine) at(base smt.Term, off int64) smt.Term {
	return e.C.Add(base, e.C.Const(uint64(off), 64))
}

// source gives the memory that a load through base from region r sees: bytes
// that are known by their offsets, and a token for all others.
func (e *Engine) source(s *State, r Region, class string, base smt.Term) (from smt.Term, known map[int64]smt.Term) {
	if r.someMap() {
		return e.memory(s, private), nil
	}
	if class == "" {
		return e.Memory(s), nil // could be any class
	}
	if class == "ctx" && base != e.ctx {
		return e.context(s), nil
	}
	ch := e.chain(s, class)
	// The kernel rewrites context accesses: what was written need not be what
	// is read back.
	if ch.Last.Base != base || class == "ctx" || e.Coarse.Offsets {
		return e.freeze(ch), nil
	}
	return ch.Token, ch.Last.Bytes
}

// store writes the bytes of v at addr.
func (e *Engine) store(s *State, addr, v smt.Term) error {
	c := e.C
	n := int(c.Width(v) / 8)
	r := e.RegionOf(addr)
	if r.Kind == Stack {
		at, ok := e.stackOffset(addr)
		if !ok && e.outOfFrame(addr) || ok && !inFrame(at, n) {
			return ErrOutOfFrame
		}
		if !ok {
			if !e.staysInFrame(addr, n) {
				return ErrOutOfFrame
			}
			e.stackStoreAnywhere(s, addr, v)
			return nil
		}
		for i := range n {
			e.SetStackByte(s, at+i, c.Extract(v, uint8(8*i), 8))
		}
		return nil
	}
	if r.Kind == Any {
		if e.PreserveShared {
			e.access(s, "shared-store", addr, v)
		}
		tok := c.UF("store", 0, e.Memory(s), e.stackToken(s), addr, v)
		e.havoc(s, tok, nil)
		e.clobberStack(s, tok)
		return nil
	}
	if e.PreserveShared && r.shared() {
		e.access(s, "shared-store", addr, v)
	}
	r = e.Coarse.of(r)
	base, off := e.split(addr)
	class := e.class(r, base, off, n)
	if r.someMap() {
		e.havoc(s, c.UF("store", 0, e.memory(s, private), addr, v), keepPrivate())
		return nil
	}
	if class == "" {
		e.havoc(s, c.UF("store", 0, e.Memory(s), addr, v), nil)
		return nil
	}
	if class == "ctx" && base != e.ctx {
		tok := c.UF("store", 0, e.context(s), addr, v)
		s.setMem(scratch, Chain{Token: tok})
		s.setMem(hash, Chain{Token: c.UF("mem:"+hash, 0, tok)})
	}
	ch := e.chain(s, class)
	g := Group{Base: base, Bytes: map[int64]smt.Term{}}
	if r.Kind == MapValue {
		g.Chunks = map[int64]chunk{}
	}
	// The kernel turns a store to a context field into other instructions, which
	// may ignore some values: a later store need not undo an earlier one.
	if ch.Last.Base == base && class != "ctx" && !e.Coarse.Offsets {
		maps.Copy(g.Bytes, ch.Last.Bytes)
		maps.Copy(g.Chunks, ch.Last.Chunks)
	} else {
		ch = Chain{Token: e.freeze(ch)}
	}
	for i := range n {
		o := off + int64(i)
		b := c.Extract(v, uint8(8*i), 8)
		if r.Kind == Packet && b == c.UF("load", 8, ch.Token, e.at(base, o)) {
			delete(g.Bytes, o) // what was there before the group is put back
			continue
		}
		g.Bytes[o] = b
		if g.Chunks != nil {
			g.Chunks[o] = chunk{off, n}
		}
	}
	if len(g.Bytes) == 0 {
		g = Group{}
	}
	ch.Last = g
	s.setMem(class, ch)
	return nil
}

// stackToken stands for the contents of the whole frame, and of that of a function
// that was entered.
func (e *Engine) stackToken(s *State) smt.Term {
	var args []smt.Term
	for i, b := range s.Stack {
		if b != 0 {
			args = append(args, e.C.Const(uint64(i), 16), b)
		}
	}
	if s.Callee != nil {
		args = append(args, e.C.UF("callee", 0, s.Callee[:]...))
	}
	if args == nil {
		return s.Frame
	}
	return e.C.UF("frame", 0, append(args, s.Frame)...)
}

func (e *Engine) stackLoadAnywhere(s *State, addr smt.Term, n int) smt.Term {
	tok := e.stackToken(s)
	t := e.C.UF("frame-load", 8, tok, addr)
	for i := 1; i < n; i++ {
		t = e.C.Concat(e.C.UF("frame-load", 8, tok, e.at(addr, int64(i))), t)
	}
	return t
}

func (e *Engine) stackStoreAnywhere(s *State, addr, v smt.Term) {
	e.clobberStack(s, e.C.UF("frame-store", 0, e.stackToken(s), addr, v))
}

// clobberStack makes every byte of the frames an unknown that depends on tok.
func (e *Engine) clobberStack(s *State, tok smt.Term) {
	s.Stack, s.sharedStack = new([isa.StackSize]smt.Term), false
	s.Frame = e.C.UF("frame-after", 0, tok)
	if s.Callee != nil {
		for i := range s.Callee {
			s.Callee[i] = e.C.UF("callee-after", 8, tok, e.C.Const(uint64(i), 16))
		}
	}
}

// scratch is the class of the control block of a packet's context, cb: plain
// bytes that belong to the program, which the kernel reads and writes as they are,
// in any width (net/core/filter.c, bpf_skb_is_valid_access and
// bpf_convert_ctx_access).
const scratch = "cb"

// hash is the class of a packet's hash, which programs read and only helpers change.
const hash = "hash"

// skb: the context is a struct __sk_buff.
func (e *Engine) skb() bool {
	switch e.Type {
	case prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeSocketFilter, prog.TypeCgroupSKB, prog.TypeLWTIn, prog.TypeLWTOut, prog.TypeLWTXmit:
		return true
	}
	return false
}

// class is the class of n bytes at off from base.
func (e *Engine) class(r Region, base smt.Term, off int64, n int) string {
	const cb, sum, end = 48, 68, 72 // of struct __sk_buff
	if r.Kind == Context && base == e.ctx && off%int64(n) == 0 && e.skb() {
		switch to := off + int64(n); {
		case off >= cb && to <= sum:
			return scratch
		case off >= sum && to <= end:
			return hash
		}
	}
	return r.class()
}

// Scratch tells whether n bytes at addr are in the control block, where stores
// may be joined.
func (e *Engine) Scratch(addr smt.Term, n int) bool {
	base, off := e.split(addr)
	return e.class(e.RegionOf(addr), base, off, n) == scratch
}

// context is the whole context.
func (e *Engine) context(s *State) smt.Term {
	return e.C.UF("context", 0, e.Freeze(s, "ctx"), e.Freeze(s, scratch), e.Freeze(s, hash))
}

// contextPointer says whether a context field at off, read with n bytes, is
// turned into a pointer by the kernel (net/core/filter.c, convert_ctx_access).
func (e *Engine) contextPointer(off int64, n int) (Region, bool) {
	packet := false
	switch e.Type {
	case prog.TypeUnspec, prog.TypeExt: // its context is any of those below
		return Region{}, n == 4 && (off <= 8 || off == 76 || off == 80 || off == 140)
	case prog.TypeXDP:
		packet = n == 4 && (off == 0 || off == 4 || off == 8)
	case prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeSocketFilter, prog.TypeCgroupSKB, prog.TypeSKSKB,
		prog.TypeLWTIn, prog.TypeLWTOut, prog.TypeLWTXmit, prog.TypeLWTSeg6Local, prog.TypeFlowDissector:
		packet = n == 4 && (off == 76 || off == 80 || off == 140)
		if n == 8 && (off == 144 || off == 168) {
			return Region{}, true // flow_keys, sk
		}
	case prog.TypeSKMsg:
		packet = n == 8 && (off == 0 || off == 8)
	case prog.TypeSKReuseport:
		packet = n == 8 && (off == 0 || off == 8)
	}
	if packet {
		return Region{Kind: Packet}, true
	}
	return Region{}, false
}

// read executes a load instruction's memory access. With whole, v is the 64 bits
// that the register gets, whatever the instruction's width.
func (e *Engine) read(s *State, addr smt.Term, width uint8) (v smt.Term, whole bool, err error) {
	n := int(width / 8)
	base, off := e.split(addr)
	switch r := e.RegionOf(addr); {
	case r.Kind == Context && base == e.ctx:
		if pr, ok := e.contextPointer(off, n); ok {
			t := e.C.UF(fmt.Sprintf("context-pointer%d", off), 64, e.Freeze(s, "ctx"))
			e.SetRegion(t, pr)
			return t, true, nil
		}
	case r.Kind == Context && n >= 4:
		// Which field this is, and so how wide it becomes, is not known.
		return e.C.UF(fmt.Sprintf("context-field%d", n), 64, e.context(s), addr), true, nil
	case r.Kind == Scalar && e.hidden:
		if _, ok := e.contextPointer(off, n); ok {
			from := e.Memory(s)
			if e.PreserveShared {
				from = e.access(s, "shared-load", addr, e.C.Const(uint64(n), 8), from)
			}
			return e.C.UF(fmt.Sprintf("maybe-pointer%d", n), 64, from, addr), true, nil
		}
	}
	v, err = e.load(s, addr, n)
	return v, false, err
}
