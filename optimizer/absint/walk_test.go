package absint

import (
	"math/rand/v2"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// Covers is what the join says.
func TestCoversAgreesWithJoin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	value := func() Value {
		switch r.IntN(5) {
		case 0:
			return scalar(Const(uint64(r.IntN(3)), 64))
		case 1:
			return scalar(Between(0, uint64(r.IntN(3)), 64))
		case 2:
			return Value{Kind: Stack, Num: Const(uint64(r.IntN(2)), 64)}
		case 3:
			return Value{Kind: Packet, Num: Const(0, 64), ID: packetStart, Fix: int64(r.IntN(2))}
		}
		return unknown
	}
	state := func() *State {
		s := &State{Reachable: true, cells: map[int]cell{}, proved: map[int32]int64{}}
		for k := range s.Regs {
			s.Regs[k] = uninit
		}
		for k := range s.bytes {
			s.bytes[k].t.m = 0xff
		}
		if r.IntN(2) == 0 {
			s.Regs[isa.R1] = value()
		}
		for range r.IntN(3) {
			s.store(8*r.IntN(2), 8>>r.IntN(2), value())
		}
		if r.IntN(2) == 0 {
			s.proved[packetStart] = int64(1 + r.IntN(3))
		}
		return s
	}
	yes, no := 0, 0
	for range 50_000 {
		a, b := state(), state()
		want := a.join(b, false).equal(a)
		got := a.Covers(b)
		if got && !want {
			t.Fatalf("covers, but the join is another state:\n%+v %v\n%+v %v", a.cells, a.Regs[1], b.cells, b.Regs[1])
		}
		if got {
			yes++
		} else if want {
			no++
		}
	}
	if yes == 0 || no > yes {
		t.Errorf("covered %d times, missed %d", yes, no)
	}
}

// A pointer on one path and half a number on the other are no number together.
func TestJoinKeepsThePointer(t *testing.T) {
	a := &State{Reachable: true, cells: map[int]cell{}, proved: map[int32]int64{}}
	b := a.clone()
	a.store(8, 8, Value{Kind: Stack, Num: Const(0, 64)})
	b.store(8, 8, scalar(Const(1, 64)))
	b.store(8, 4, scalar(Const(1, 64)))
	for _, j := range []*State{a.join(b, false), b.join(a, false)} {
		if v := j.StackValue(8-isa.StackSize, 8); v.Kind == Scalar {
			t.Errorf("taken for a number: %+v", v)
		}
	}
}
