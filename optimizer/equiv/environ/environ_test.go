package environ

import (
	"math/rand/v2"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// One function in one World does one thing, and what it does can be seen.
func TestRunsRepeat(t *testing.T) {
	f, err := prog.ParseFunc("p", `
map m hash 4 8 16
r6 = *(u32 *)(r1 + 0)
r7 = *(u32 *)(r1 + 4)
*(u32 *)(r10 - 4) = 5
r2 = r10
r2 += -4
r1 = map m ll
call 1
if r0 == 0 goto out
r1 = *(u64 *)(r0 + 0)
r1 += 1
*(u64 *)(r0 + 0) = r1
r1 = 3
r2 = 0
call 23
out:
r6 += 14
if r6 > r7 goto bad
r0 = *(u16 *)(r6 - 2)
exit
bad:
r0 = 1
exit`)
	if err != nil {
		t.Fatal(err)
	}
	p := Prepare(f, Options{})
	var m Machine
	results, writes, calls := map[uint64]bool{}, 0, 0
	for seed := range uint64(200) {
		w := NewWorld(seed, f)
		a, err := m.Run(p, w, 100, true)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := m.Run(p, w, 100, false)
		if d := a.Differs(b, 64); d != "" {
			t.Fatal(d)
		}
		results[a.Result] = true
		writes += len(a.Memory)
		calls += len(a.Calls)
	}
	if len(results) < 3 || writes == 0 || calls == 0 {
		t.Errorf("%d results, %d bytes written, %d calls: the environments are too alike", len(results), writes, calls)
	}
}

// The machine agrees with itself on identities of each width.
func TestIdentities(t *testing.T) {
	m := &Machine{}
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		for _, w := range []uint8{8, 16, 32, 64} {
			a, b := low(r.Uint64(), w), low(r.Uint64(), w)
			if got := m.Binary(isa.ExprAdd, w, m.Binary(isa.ExprSub, w, a, b), b); got != a {
				t.Fatalf("width %d: (%#x - %#x) + %#x = %#x", w, a, b, b, got)
			}
			if b != 0 {
				q, rem := m.Binary(isa.ExprUDiv, w, a, b), m.Binary(isa.ExprURem, w, a, b)
				if got := m.Binary(isa.ExprAdd, w, m.Binary(isa.ExprMul, w, q, b), rem); got != a {
					t.Fatalf("width %d: %#x / %#x", w, a, b)
				}
			}
			if w > 8 && m.Unary(isa.ExprBSwap, w, m.Unary(isa.ExprBSwap, w, a)) != a {
				t.Fatalf("width %d: swap %#x", w, a)
			}
		}
	}
}
