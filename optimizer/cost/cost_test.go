package cost

import (
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

func TestEveryRowHasAPrice(t *testing.T) {
	m := Default()
	for _, r := range isa.Rows() {
		in := prog.New(isa.Insn{Op: r.Op})
		if p := m.One(&in); (p > 0) == (r.Kind == isa.KindNop) {
			t.Errorf("%s: price %g", r.Name, p)
		}
	}
}

func TestObjectives(t *testing.T) {
	small := Estimate{Slots: 5, Nanoseconds: 9}
	fast := Estimate{Slots: 6, Nanoseconds: 3}
	if !Size.Less(small, fast) || Size.Less(fast, small) {
		t.Error("size does not prefer fewer slots")
	}
	if !Latency.Less(fast, small) || Latency.Less(small, fast) {
		t.Error("latency does not prefer less time")
	}
	if Latency.Less(fast, fast) || Size.Less(fast, fast) {
		t.Error("an estimate beats itself")
	}
}

func TestLockedOperationCostsMoreThanPlain(t *testing.T) {
	m := Default()
	plain := m.byOp[isa.Load(64, false)] + m.byOp[isa.ALU(isa.FnAdd, 64, true)] + m.byOp[isa.Store(64, false)]
	if lock := m.byOp[isa.Atomic(isa.FnAdd, 64, false)]; lock <= plain {
		t.Errorf("lock add %g, load-add-store %g", lock, plain)
	}
}

// Under the latency objective a slot costs its fetch, about a simple
// instruction, or a part of what the function's slots take on average.
func TestLatencyCountsSlots(t *testing.T) {
	m := Default()
	add := m.byOp[isa.ALU(isa.FnAdd, 64, true)]
	if m.Slot < add/4 || m.Slot > 4*add {
		t.Errorf("a slot costs %g, an addition %g", m.Slot, add)
	}
	of := func(slots int, ns float64) Estimate {
		return Estimate{Slots: slots, Nanoseconds: ns, Fetch: m.Slot * float64(slots)}
	}
	for _, c := range []struct {
		slots     int
		ns, price float64
	}{
		{1000, 20, m.Slot},            // long and fast: the fetch
		{10, 50, slotShare * 50 / 11}, // slow for its length
	} {
		a, near, far := of(c.slots, c.ns), of(c.slots+1, c.ns-0.8*c.price), of(c.slots+1, c.ns-1.2*c.price)
		if Latency.Less(near, a) || !Latency.Less(a, near) || !Latency.Less(far, a) || Size.Less(far, a) {
			t.Errorf("the price of a slot in a function of %d that takes %g ns", c.slots, c.ns)
		}
	}
}
