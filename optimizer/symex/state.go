package symex

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// Group is a set of bytes written through one base address.
type Group struct {
	Base  smt.Term
	Bytes map[int64]smt.Term // by offset from Base
	// Chunks says how the bytes were stored, for memory that others see.
	Chunks map[int64]chunk
}

// Chain is the contents of a memory class: a token for all writes but those of
// the last group.
type Chain struct {
	Token smt.Term
	Last  Group // no writes if its base is 0
}

// State is a machine state over terms. The zero Term in a register marks a
// value that must not be read.
type State struct {
	Regs [isa.NumRegs]smt.Term
	// Stack is the bytes of the frame by offset from its low end. 0 stands for
	// that byte of Frame, the contents at some point before.
	Stack *[isa.StackSize]smt.Term
	Frame smt.Term
	// Callee is the frame of a function that was entered, nil outside: see Enter.
	Callee *[isa.StackSize]smt.Term
	Mem    map[string]Chain
	Epoch  smt.Term   // contents of the classes that Mem does not have
	Effect smt.Term   // the calls so far, in order
	MapSet smt.Term   // which keys the maps hold
	Path   []smt.Term // branch conditions taken, one bit each, all true

	// Another state has the same Stack, or Mem: copy before a write.
	sharedStack, sharedMem bool
}

// Clone copies s.
func (s *State) Clone() *State {
	s.sharedStack, s.sharedMem = true, true
	t := *s
	if s.Callee != nil {
		b := *s.Callee
		t.Callee = &b
	}
	t.Path = slices.Clip(s.Path)
	return &t
}

// stack is the frame, for writing.
func (s *State) stack() *[isa.StackSize]smt.Term {
	if s.sharedStack {
		b := *s.Stack
		s.Stack, s.sharedStack = &b, false
	}
	return s.Stack
}

// SetStackByte gives byte i of the frame the value b; below zero it is one of the
// frame of the function that was entered.
func (e *Engine) SetStackByte(s *State, i int, b smt.Term) {
	if i < 0 {
		s.Callee[i+isa.StackSize] = b
		return
	}
	if n := e.C.Node(b); n.Op == smt.OpUF && n.Name == frameByte && n.Args[0] == s.Frame && n.Args[1] == e.C.Const(uint64(i), 16) {
		b = 0 // put back
	}
	if s.Stack[i] != b {
		s.stack()[i] = b
	}
}

const frameByte = "frame-byte"

// StackByte is the value of byte i of the frame, or below zero of that of the
// function that was entered.
func (e *Engine) StackByte(s *State, i int) smt.Term {
	if i < 0 {
		return s.Callee[i+isa.StackSize]
	}
	if t := s.Stack[i]; t != 0 {
		return t
	}
	known := e.frames[s.Frame]
	if known == nil {
		if len(e.frames) >= maxFrames {
			clear(e.frames)
		}
		known = new([isa.StackSize]smt.Term)
		e.frames[s.Frame] = known
	}
	if known[i] == 0 {
		known[i] = e.C.UF(frameByte, 8, s.Frame, e.C.Const(uint64(i), 16))
	}
	return known[i]
}

// maxFrames bounds the frames whose bytes' terms are at hand.
const maxFrames = 64

// OfFrame tells whether t may be a byte of the frame that has no term of its own
// in State.Stack.
func (e *Engine) OfFrame(t smt.Term) bool { return e.C.Node(t).Name == frameByte }

// setMem gives class the contents ch.
func (s *State) setMem(class string, ch Chain) {
	if s.sharedMem {
		s.Mem, s.sharedMem = maps.Clone(s.Mem), false
	}
	s.Mem[class] = ch
}

// Engine executes instructions of one program type over one term context.
type Engine struct {
	C    *smt.Ctx
	Type prog.Type
	// Entry: the function is a program's, not a subprogram.
	Entry bool
	// hidden: a pointer of unknown origin may be the context.
	hidden bool

	regions map[smt.Term]Region
	frames  map[smt.Term]*[isa.StackSize]smt.Term // terms of bytes, by the frame's token
	refs    map[any]int                           // by reference, CO-RE records by what they say
	// Callee gives the functions that calls go to; nil when unknown.
	Callee func(name string) *prog.Func
	// Align, if set, is asked whether a new call token equals one that another
	// execution made; it returns that token, or the one given.
	Align func(tok smt.Term, s *State) smt.Term
	// Plain, if set, is asked about the token of an atomic operation that
	// returns nothing: whether it may count as a plain load, operation and store.
	Plain func(tok smt.Term) bool
	// PreserveShared makes every access to memory that others may see an effect,
	// so that none is dropped, added, merged or moved past another.
	PreserveShared bool
	Coarse         Coarse
	// Unused says that the result of the next instruction is not used: a call that
	// has no effect is nothing then.
	Unused bool
	// inside: a function that was entered is being executed.
	inside bool
	// OnToken is told of each call token made.
	OnToken func(tok smt.Term)

	f       *prog.Func
	live    isa.RegSet  // arguments that f reads
	args    [5]smt.Term // R1 to R5 at entry
	given   []smt.Term  // what holds of them
	fp, ctx smt.Term    // ctx is 0 if no argument is known to be the context
	// calleeFP is the frame pointer of a function that was entered; 0 if none was.
	calleeFP smt.Term
	callees  map[*prog.Func]isa.RegSet
	marks    map[smt.Term]marked // lookups that maps take note of, by the effect that they are
	shapes   shapes
	side     int
	stored   map[smt.Term]int // bytes that the first function stores at addresses of the frame that are not constant
	assume   map[string]bool
	maps     map[string]bool // named by the functions
	log      *Log
	guess    numbers // see Gives
}

// NewEngine makes an engine over c for versions of f. callee gives the functions
// that calls go to; nil when unknown.
func NewEngine(c *smt.Ctx, f *prog.Func, callee func(name string) *prog.Func) *Engine {
	e := &Engine{C: c, Type: f.Type, Entry: f.Entry, Callee: callee, f: f, regions: map[smt.Term]Region{}, frames: map[smt.Term]*[isa.StackSize]smt.Term{}, refs: map[any]int{}, assume: map[string]bool{}, maps: map[string]bool{}, callees: map[*prog.Func]isa.RegSet{}, marks: map[smt.Term]marked{}, stored: map[smt.Term]int{}}
	e.fp = c.Var("fp", 64)
	e.regions[e.fp] = Region{Kind: Stack}
	e.live = prog.Reads(f)
	e.hidden = f.SeesContext(prog.NewLiveness(prog.NewCFG(f)).Before[0]&isa.ArgRegs, callee)
	for r := isa.R1; r <= isa.R5; r++ {
		e.args[r-isa.R1] = e.argument(r, f.Given(r))
	}
	return e
}

// argument makes the term of an argument register.
func (e *Engine) argument(r isa.Reg, a prog.Arg) smt.Term {
	if k, ok := a.Const(); ok {
		return e.C.Const(k, 64)
	}
	t := e.C.Var(fmt.Sprintf("arg%d", r), 64)
	switch a.Kind {
	case prog.ArgContext:
		if e.ctx != 0 {
			return e.ctx
		}
		e.ctx = t
		e.regions[t] = Region{Kind: Context}
	case prog.ArgPacket, prog.ArgPacketEnd:
		e.regions[t] = Region{Kind: Packet}
	case prog.ArgMapValue:
		e.regions[t] = Region{Kind: MapValue, Map: a.Map}
		e.names(a.Map.Name)
	case prog.ArgScalar:
		if a != prog.ScalarArg {
			e.given = append(e.given, e.C.Ule(e.C.Const(a.Min, 64), t), e.C.Ule(t, e.C.Const(a.Max, 64)))
		}
	}
	return t
}

// Assumptions lists the facts outside the program that executions relied on.
func (e *Engine) Assumptions() []string {
	out := make([]string, 0, len(e.assume))
	for a := range e.assume {
		out = append(out, a)
	}
	if len(e.maps) > 1 {
		names := slices.Sorted(maps.Keys(e.maps))
		out = append(out, "no two of these are one map: "+strings.Join(names, ", "))
	}
	slices.Sort(out)
	return out
}

// NewState makes a state without any contents.
func NewState() *State {
	return &State{Stack: new([isa.StackSize]smt.Term), Mem: map[string]Chain{}}
}

// Start is the state at the function's entry.
func (e *Engine) Start() *State {
	c := e.C
	s := NewState()
	s.Epoch, s.Effect, s.MapSet = c.UF("epoch", 0), c.UF("effect", 0), c.UF("mapset", 0)
	for r := isa.R1; r <= isa.R5; r++ {
		// The compiler may have changed a static function's arguments: what it
		// reads it was given, and nothing else.
		if e.Entry && int(r) <= e.f.NumArgs || !e.Entry && e.live.Has(r) {
			s.Regs[r] = e.args[r-isa.R1]
		}
	}
	for _, t := range e.given {
		if v, ok := c.IsConst(t); !ok || v == 0 {
			s.Path = append(s.Path, t)
		}
	}
	s.Regs[isa.FP] = e.fp
	// Uninitialised bytes: unknown, and the same unknown for both programs.
	s.Frame = c.UF("frame-at-entry", 0)
	return s
}

// SetRegion declares what a variable points into.
func (e *Engine) SetRegion(t smt.Term, r Region) {
	e.regions[t] = r
	e.write(event{kind: isRegion, term: t, region: r})
}

// ClearRegion forgets what a variable points into.
func (e *Engine) ClearRegion(t smt.Term) {
	delete(e.regions, t)
	e.write(event{kind: noRegion, term: t})
}

// split writes an address as base plus constant offset.
func (e *Engine) split(addr smt.Term) (base smt.Term, off int64) {
	n := e.C.Node(addr)
	if n.Op != smt.OpSum || n.K == 0 {
		return addr, 0
	}
	return e.C.Sub(addr, e.C.Const(n.K, 64)), int64(n.K)
}

// stackOffset returns the offset from the frame's low end, if addr is a
// constant offset from the frame pointer. It is below zero in the frame of the
// function that was entered.
func (e *Engine) stackOffset(addr smt.Term) (int, bool) {
	base, off := e.split(addr)
	switch {
	case base == e.fp && off >= -isa.StackSize && off <= 0:
		return int(off) + isa.StackSize, true
	case base == e.calleeFP && e.inside && off >= -isa.StackSize && off < 0:
		return int(off), true
	}
	return 0, false
}

// inFrame: n bytes at an offset that stackOffset gave are in one frame.
func inFrame(at, n int) bool { return at+n <= isa.StackSize && (at >= 0 || at+n <= 0) }

// outOfFrame: addr is a constant offset from a frame pointer, and outside.
func (e *Engine) outOfFrame(addr smt.Term) bool {
	base, _ := e.split(addr)
	_, ok := e.stackOffset(addr)
	return (base == e.fp || base == e.calleeFP && e.calleeFP != 0) && !ok
}

// chain returns a class's contents.
func (e *Engine) chain(s *State, class string) Chain {
	if ch, ok := s.Mem[class]; ok {
		return ch
	}
	return Chain{Token: e.C.UF("mem:"+class, 0, s.Epoch)}
}

// Freeze folds a class's writes into one token.
func (e *Engine) Freeze(s *State, class string) smt.Term {
	return e.freeze(e.chain(s, class))
}

func (e *Engine) freeze(ch Chain) smt.Term {
	if ch.Last.Base == 0 {
		return ch.Token
	}
	return e.freezeGroup(ch.Token, ch.Last)
}

func (e *Engine) freezeGroup(t smt.Term, g Group) smt.Term {
	offs := make([]int64, 0, len(g.Bytes))
	for o := range g.Bytes {
		offs = append(offs, o)
	}
	slices.Sort(offs)
	args := []smt.Term{t, g.Base}
	for _, o := range offs {
		args = append(args, e.C.Const(uint64(o), 64), g.Bytes[o])
	}
	w := e.C.UF("write", 0, args...)
	e.note(w, g)
	return w
}

// Classes lists the classes that s has contents for.
func (s *State) Classes() []string {
	out := make([]string, 0, len(s.Mem))
	for k := range s.Mem {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Memory folds all memory but the stack into one token.
func (e *Engine) Memory(s *State) smt.Term {
	return e.memory(s, func(string) bool { return false })
}

// memory is Memory without some classes.
func (e *Engine) memory(s *State, without func(class string) bool) smt.Term {
	args := []smt.Term{s.Epoch, s.MapSet}
	for _, k := range s.Classes() {
		if without(k) {
			continue
		}
		ch := s.Mem[k]
		if ch.Last.Base == 0 && ch.Token == e.C.UF("mem:"+k, 0, s.Epoch) {
			continue // untouched
		}
		args = append(args, e.C.UF("class:"+k, 0), e.freeze(ch))
	}
	return e.C.UF("memory", 0, args...)
}

// havoc makes all memory but the stack and the classes to keep a new unknown
// that depends on tok.
func (e *Engine) havoc(s *State, tok smt.Term, keep map[string]bool) {
	kept := map[string]Chain{}
	for class, k := range keep {
		if k {
			kept[class] = e.chain(s, class)
		}
	}
	s.Mem, s.sharedMem = kept, false
	s.Epoch = e.C.UF("epoch-after", 0, tok)
	s.MapSet = e.C.UF("mapset-after", 0, tok)
}
