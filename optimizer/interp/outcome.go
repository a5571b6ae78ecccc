package interp

import (
	"bytes"
	"fmt"
	"slices"
	"sort"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// Input is the environment of one run.
type Input struct {
	Packet []byte
	// Ctx is the context's bytes; shorter than the type's context means zeros.
	// Packet pointer fields are ignored.
	Ctx []byte
	// Maps is the contents before the run, by map name.
	Maps map[string][]Entry
	// Seed decides everything that the environment answers.
	Seed uint64
	// Args, if any, replace the first argument registers (subprograms).
	Args []uint64
}

// Event is a call with an effect.
type Event struct {
	Helper int32
	// Args holds the scalar arguments; a pointer is 0 here and its bytes are in
	// Bytes.
	Args [5]uint64
	// Bytes joins the map names and the bytes that the arguments point to.
	Bytes []byte
}

// Outcome is what can be observed of a run.
type Outcome struct {
	R0     uint64
	Packet []byte
	Ctx    []byte
	Maps   map[string][]Entry
	Trace  []Event
	// TailCall: the program ended in another program; R0 means nothing.
	TailCall bool
	// Steps is the number of instructions run; not compared.
	Steps int
}

func (m *Machine) outcome() Outcome {
	o := Outcome{R0: m.r[0], Ctx: bytes.Clone(m.ctx.bytes), Trace: m.trace, TailCall: m.tail, Steps: m.Steps - m.steps,
		Packet: bytes.Clone(m.data[regPacket][m.ctx.meta:m.ctx.end])}
	if m.NoMaps {
		return o
	}
	if len(m.byID) > 0 {
		o.Maps = make(map[string][]Entry, len(m.byID))
	}
	for _, s := range m.byID {
		if !s.def.ReadOnly {
			o.Maps[s.def.Name] = s.entries(&m.memory)
		}
	}
	return o
}

// resultWidth is how many bits of r0 the kernel reads.
func resultWidth(t prog.Type, entry bool) uint8 {
	if !entry || t == prog.TypeExt || t == prog.TypeStructOps || t == prog.TypeTracing || t == prog.TypeLSM {
		return 64
	}
	return 32 // bpf_prog_run returns u32
}

// Equal compares what can be observed of two runs of a function and says what
// differs. Both programs must have been loaded on the same machine before either
// ran, so that both outcomes list the maps of both.
func Equal(a, b *Outcome, f *prog.Func) (bool, string) {
	if a.TailCall != b.TailCall {
		return false, "one ends in a tail call"
	}
	w := resultWidth(f.Type, f.Entry)
	if !a.TailCall && mask(a.R0, w) != mask(b.R0, w) {
		return false, fmt.Sprintf("r0 is %#x and %#x", a.R0, b.R0)
	}
	if !bytes.Equal(a.Packet, b.Packet) {
		return false, fmt.Sprintf("packets differ: %x and %x", a.Packet, b.Packet)
	}
	if !bytes.Equal(a.Ctx, b.Ctx) {
		return false, fmt.Sprintf("contexts differ: %x and %x", a.Ctx, b.Ctx)
	}
	if len(a.Trace) != len(b.Trace) {
		return false, fmt.Sprintf("%d and %d calls with an effect", len(a.Trace), len(b.Trace))
	}
	for k := range a.Trace {
		x, y := &a.Trace[k], &b.Trace[k]
		if x.Helper != y.Helper || x.Args != y.Args || !bytes.Equal(x.Bytes, y.Bytes) {
			return false, fmt.Sprintf("call %d differs: %+v and %+v", k, *x, *y)
		}
	}
	if len(a.Maps) != len(b.Maps) {
		return false, "the runs know different maps"
	}
	var names []string
	for n := range a.Maps {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		same := slices.EqualFunc(a.Maps[n], b.Maps[n], func(x, y Entry) bool {
			return bytes.Equal(x.Key, y.Key) && bytes.Equal(x.Value, y.Value)
		})
		if !same {
			return false, fmt.Sprintf("map %s differs: %x and %x", n, a.Maps[n], b.Maps[n])
		}
	}
	return true, ""
}
