// Package witness looks for an input on which two programs do different things:
// a packet, a context and map contents that anyone can try.
//
// It runs whole programs on the concrete machine of package interp, on traffic
// and on made-up inputs, and makes what it finds as small as it can. Finding
// nothing proves nothing.
//
// Invariant: a Witness was seen to make a difference in the form in which it is
// returned.
package witness

import (
	"bytes"
	"context"
	"errors"
	"maps"

	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Program is a program with the functions it may call, by name.
type Program struct {
	Entry *prog.Func
	Funcs map[string]*prog.Func
}

// Witness is an input and what both programs did on it.
type Witness struct {
	Input *interp.Input
	// What says in words what differs.
	What string
	A, B interp.Outcome
}

// Options bound a search.
type Options struct {
	// Runs is the number of inputs to try, of each program; zero means 20000.
	Runs int
	// Packets are taken as inputs and as patterns for others.
	Packets [][]byte
	Seed    uint64
}

// ErrChance is returned for programs that ask for time or random numbers in
// different ways: the answers would differ, not the programs.
var ErrChance = errors.New("the programs ask for time or random numbers in different places")

// maxShrink bounds the runs that make a witness smaller.
const maxShrink = 4000

// Find looks for a witness; nil when it finds none. The number of inputs that
// both programs ran on comes with it.
func Find(ctx context.Context, a, b Program, o Options) (*Witness, int, error) {
	if o.Runs == 0 {
		o.Runs = 20_000
	}
	if chance(a) != chance(b) {
		return nil, 0, ErrChance
	}
	m := interp.New()
	pa, err := m.Load(a.Entry, a.Funcs)
	if err != nil {
		return nil, 0, err
	}
	pb, err := m.Load(b.Entry, b.Funcs)
	if err != nil {
		return nil, 0, err
	}
	s := &search{m: m, a: pa, b: pb, entry: a.Entry}
	// The constants of both programs are likely keys, protocols, ports.
	gens := []*interp.Generator{
		interp.NewGenerator(a.Entry, a.Funcs, o.Packets, o.Seed),
		interp.NewGenerator(b.Entry, b.Funcs, o.Packets, o.Seed+1),
	}
	for i := range o.Runs {
		if ctx.Err() != nil {
			return nil, s.ran, ctx.Err()
		}
		in := gens[i%2].Next()
		if w := s.try(in); w != nil {
			return s.shrink(w), s.ran, nil
		}
	}
	if s.ran == 0 && s.err != nil {
		return nil, 0, s.err
	}
	return nil, s.ran, nil
}

// chance counts the calls whose answers nothing decides.
func chance(p Program) int {
	n := 0
	count := func(f *prog.Func) {
		for k := range f.Insns {
			if in := &f.Insns[k]; in.Row().Kind == isa.KindCallHelper && isa.HelperOf(int32(in.Imm)).Purity == isa.PureFresh {
				n++
			}
		}
	}
	seen := map[*prog.Func]bool{p.Entry: true}
	for work := []*prog.Func{p.Entry}; len(work) > 0; work = work[1:] {
		count(work[0])
		for k := range work[0].Insns {
			if r := work[0].Insns[k].Ref; r != nil && r.Kind == prog.RefFunc {
				if g := p.Funcs[r.Name]; g != nil && !seen[g] {
					seen[g] = true
					work = append(work, g)
				}
			}
		}
	}
	return n
}

type search struct {
	m     *interp.Machine
	a, b  *interp.Program
	entry *prog.Func
	ran   int
	err   error // the last reason why an input could not be run
}

// try runs both programs on an input; nil when they agree or one cannot run.
func (s *search) try(in *interp.Input) *Witness {
	x, err := s.m.Run(s.a, in)
	if err == nil {
		var y interp.Outcome
		if y, err = s.m.Run(s.b, in); err == nil {
			s.ran++
			if same, what := interp.Equal(&x, &y, s.entry); !same {
				return &Witness{Input: in, What: what, A: x, B: y}
			}
			return nil
		}
	}
	s.err = err
	return nil
}

// shrink drops map entries and clears bytes while the difference stays.
func (s *search) shrink(w *Witness) *Witness {
	left := maxShrink
	keep := func(change func(*interp.Input)) bool {
		if left--; left < 0 {
			return false
		}
		c := *w.Input
		c.Packet, c.Ctx, c.Maps = bytes.Clone(c.Packet), bytes.Clone(c.Ctx), maps.Clone(c.Maps)
		change(&c)
		if v := s.try(&c); v != nil {
			w = v
			return true
		}
		return false
	}
	for name := range w.Input.Maps {
		if keep(func(in *interp.Input) { delete(in.Maps, name) }) {
			continue
		}
		for k := len(w.Input.Maps[name]) - 1; k >= 0; k-- {
			keep(func(in *interp.Input) {
				e := in.Maps[name]
				in.Maps[name] = append(append([]interp.Entry{}, e[:k]...), e[k+1:]...)
			})
		}
	}
	for _, field := range []func(*interp.Input) []byte{
		func(in *interp.Input) []byte { return in.Ctx },
		func(in *interp.Input) []byte { return in.Packet },
	} {
		zero(len(field(w.Input)), func(lo, hi int) bool {
			return keep(func(in *interp.Input) { clear(field(in)[lo:hi]) })
		})
	}
	return w
}

// zero clears as much of n bytes as it may, in halves.
func zero(n int, clear func(lo, hi int) bool) {
	var part func(lo, hi int)
	part = func(lo, hi int) {
		if lo >= hi || clear(lo, hi) || hi-lo == 1 {
			return
		}
		mid := lo + (hi-lo)/2
		part(lo, mid)
		part(mid, hi)
	}
	part(0, n)
}
