package prog

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// ArgKind says what a value handed over at a call is.
type ArgKind uint8

// The kinds of arguments and results.
const (
	ArgAny       ArgKind = iota // not known: a pointer into the caller's frame, for instance
	ArgScalar                   // a number from Min to Max, and no address
	ArgContext                  // the program's context, its first byte
	ArgPacket                   // a place in the packet
	ArgPacketEnd                // the packet's end
	ArgMapValue                 // a place in a value of Map, not NULL
)

var argNames = [...]string{"any", "scalar", "context", "packet", "packet_end", "value"}

// Arg is what is known of a register at all calls of a subprogram.
type Arg struct {
	Kind     ArgKind
	Map      *Map   // of an ArgMapValue
	Min, Max uint64 // of an ArgScalar, inclusive
}

// ScalarArg is any number.
var ScalarArg = Arg{Kind: ArgScalar, Max: math.MaxUint64}

// Const returns the number that the argument always is.
func (a Arg) Const() (uint64, bool) { return a.Min, a.Kind == ArgScalar && a.Min == a.Max }

// Join is what holds where either of the two does.
func (a Arg) Join(b Arg) Arg {
	if a.Kind != b.Kind || a.Map != b.Map && !sameMap(a.Map, b.Map) {
		return Arg{}
	}
	a.Min, a.Max = min(a.Min, b.Min), max(a.Max, b.Max)
	return a
}

// String is the form that ParseFunc reads: a kind, LOW..HIGH or value:MAP.
func (a Arg) String() string {
	switch {
	case a.Kind == ArgMapValue:
		return "value:" + a.Map.Name
	case a.Kind == ArgScalar && a != ScalarArg:
		return fmt.Sprintf("%d..%d", a.Min, a.Max)
	}
	return argNames[a.Kind]
}

func parseArg(s string, maps map[string]*Map) (Arg, error) {
	if name, ok := strings.CutPrefix(s, "value:"); ok {
		if maps[name] == nil {
			return Arg{}, fmt.Errorf("no such map")
		}
		return Arg{Kind: ArgMapValue, Map: maps[name]}, nil
	}
	if lo, hi, ok := strings.Cut(s, ".."); ok {
		l, err := strconv.ParseUint(lo, 0, 64)
		h, err2 := strconv.ParseUint(hi, 0, 64)
		if err != nil || err2 != nil || l > h {
			return Arg{}, fmt.Errorf("bad range")
		}
		return Arg{Kind: ArgScalar, Min: l, Max: h}, nil
	}
	for k, n := range argNames {
		switch {
		case n != s:
		case ArgKind(k) == ArgScalar:
			return ScalarArg, nil
		case ArgKind(k) != ArgMapValue:
			return Arg{Kind: ArgKind(k)}, nil
		}
	}
	return Arg{}, fmt.Errorf("no such kind of argument: %q", s)
}

// Given returns what is known of the argument register r at entry.
func (f *Func) Given(r isa.Reg) Arg {
	switch {
	case f.Entry && r == isa.R1 && f.Type != TypeExt: // that one is given what the function it replaces is
		return Arg{Kind: ArgContext}
	case f.Entry || r < isa.R1 || r > isa.R5:
		return Arg{}
	}
	return f.Args[r-isa.R1]
}

// SeesContext reports whether a pointer of unknown origin in f may be the
// context: one handed over among the arguments in reads, in a caller's frame, or
// returned by a call. callee gives the functions that calls go to.
func (f *Func) SeesContext(reads isa.RegSet, callee func(name string) *Func) bool {
	for r := isa.R1; r <= isa.R5; r++ {
		if reads.Has(r) && f.Given(r).Kind == ArgAny {
			return true
		}
	}
	for k := range f.Insns {
		in := &f.Insns[k]
		if in.Row().Kind != isa.KindCallFunc && in.Row().Kind != isa.KindCallReg {
			continue
		}
		if in.Ref == nil || in.Ref.Kind != RefFunc || callee == nil {
			return true
		}
		g := callee(in.Ref.Name)
		if g == nil || g.Result.Kind == ArgAny || g.Result.Kind == ArgContext {
			return true
		}
	}
	return false
}
