package cost

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// someFunc makes a function of random instructions, calls and branches; a price
// needs no sense.
func someFunc(rng *rand.Rand) (*prog.Func, []float64) {
	f := &prog.Func{Name: "f", Entry: true}
	n := 3 + rng.IntN(30)
	rows := isa.Rows()
	for len(f.Insns) < n {
		r := &rows[rng.IntN(len(rows))]
		in := prog.New(isa.Insn{Op: r.Op, Dst: isa.Reg(rng.IntN(10)), Src: isa.Reg(rng.IntN(10)), Imm: rng.Int64N(1 << 40)})
		if r.Kind == isa.KindCondJump || r.Kind == isa.KindJump {
			in.Target = len(f.Insns) + 1 + rng.IntN(n-len(f.Insns))
		}
		if r.Kind == isa.KindCallHelper {
			in.Imm = int64(1 + rng.IntN(100))
		}
		f.Insns = append(f.Insns, in)
	}
	f.Insns = append(f.Insns, prog.New(isa.Insn{Op: isa.Exit}))
	w := make([]float64, len(f.Insns))
	for k := range w {
		w[k] = rng.Float64()
	}
	return f, w
}

// What the shares cost is what the function costs.
func TestSharesAddUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, m := range []*Model{Default(), Unweighted()} {
		for range 2000 {
			f, w := someFunc(rng)
			for _, weights := range [][]float64{nil, w} {
				sum := 0.0
				for key, n := range m.Shares(f, weights) {
					sum += n * m.price(key)
				}
				if e := m.Func(f, weights); math.Abs(sum-e.Nanoseconds) > 1e-6*(1+e.Nanoseconds) {
					t.Fatalf("shares add up to %g, the function costs %g", sum, e.Nanoseconds)
				}
			}
		}
	}
}

// Measurements on a machine with other prices move the model to these; what no
// measurement is about stays.
func TestRefineFindsThePrices(t *testing.T) {
	truth, m := Default(), Default()
	add, mul, load := isa.RowOf(isa.ALU(isa.FnAdd, 64, true)).Name, isa.RowOf(isa.ALU(isa.FnMul, 64, true)).Name, isa.RowOf(isa.Load(64, false)).Name
	truth.Insn[mul] = 3 * m.byOp[isa.ByName(mul)]
	truth.CalleeSaved *= 1.3
	if err := truth.Init(); err != nil {
		t.Fatal(err)
	}
	other := m.byOp[isa.ByName(load)]
	rng := rand.New(rand.NewPCG(3, 4))
	wrong := func() float64 { return math.Abs(m.price(keyInsn+mul) - truth.price(keyInsn+mul)) }
	before := wrong()
	for range 60 {
		// n multiplications took the place of n additions, and saved registers went.
		n, regs := float64(5+rng.IntN(50)), float64(rng.IntN(4))
		a, b := Shares{keyInsn + add: n, keySaved: regs}, Shares{keyInsn + mul: n}
		took := n*(truth.price(keyInsn+mul)-truth.price(keyInsn+add)) - regs*truth.CalleeSaved
		if err := m.Refine(a, b, took+0.2*rng.NormFloat64(), 0.2); err != nil {
			t.Fatal(err)
		}
	}
	if after := wrong(); after > before/4 {
		t.Errorf("a multiplication is %.3f ns, priced at %.3f; it was off by %.3f", truth.price(keyInsn+mul), m.price(keyInsn+mul), before)
	}
	if m.price(keyInsn+load) != other || m.Refined != 60 {
		t.Errorf("a load costs %g, was %g; %d measurements", m.price(keyInsn+load), other, m.Refined)
	}
}

// No measurement, however mad, makes a price that is none.
func TestRefineKeepsPricesSound(t *testing.T) {
	m := Default()
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 500 {
		f, w := someFunc(rng)
		g, v := someFunc(rng)
		measured := []float64{-1e6, 1e6, 0, math.NaN(), math.Inf(1), rng.NormFloat64()}[i%6]
		if err := m.Refine(m.Shares(f, w), m.Shares(g, v), measured, rng.Float64()); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Init(); err != nil {
		t.Error(err)
	}
}
