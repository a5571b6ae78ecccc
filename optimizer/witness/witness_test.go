package witness

import (
	"context"
	"errors"
	"testing"

	"github.com/superbpf/superbpf/optimizer/prog"
)

func parse(t *testing.T, text string) Program {
	t.Helper()
	f, err := prog.ParseFunc("p", text)
	if err != nil {
		t.Fatal(err)
	}
	f.Entry, f.Type = true, prog.TypeXDP
	return Program{Entry: f}
}

const first = `
map m hash 4 8 16
r6 = *(u32 *)(r1 + 0)
r7 = *(u32 *)(r1 + 4)
r0 = 1
r2 = r6
r2 += 20
if r2 > r7 goto out
r3 = *(u8 *)(r6 + 13)
if r3 != 221 goto out
*(u32 *)(r10 - 4) = 7
r2 = r10
r2 += -4
r1 = map m ll
call 1
if r0 == 0 goto miss
r0 = 2
exit
miss:
r0 = 3
out:
exit`

// A difference behind a packet byte and a missing map entry is found and made
// small; equal programs give no witness.
func TestFind(t *testing.T) {
	a := parse(t, first)
	second := parse(t, first)
	for k := range second.Entry.Insns {
		if in := &second.Entry.Insns[k]; in.Imm == 3 {
			in.Imm = 4
		}
	}
	w, n, err := Find(context.Background(), a, second, Options{Seed: 1})
	if err != nil || w == nil {
		t.Fatalf("no witness in %d runs: %v", n, err)
	}
	if w.A.R0 != 3 || w.B.R0 != 4 {
		t.Errorf("r0 is %d and %d", w.A.R0, w.B.R0)
	}
	for i, b := range w.Input.Packet {
		if (b != 0) != (i == 13) {
			t.Errorf("byte %d of the packet is %#x: it does not matter", i, b)
		}
	}
	if len(w.Input.Maps["m"]) != 0 {
		t.Errorf("%d entries are left in the map", len(w.Input.Maps["m"]))
	}
	if w, n, err := Find(context.Background(), a, parse(t, first), Options{Runs: 2000}); w != nil || err != nil || n == 0 {
		t.Errorf("a program differs from itself: %+v, %d runs, %v", w, n, err)
	}
}

// A random number that one of them does not draw is no difference.
func TestChance(t *testing.T) {
	a := parse(t, "call 7\nr0 = 1\nexit")
	b := parse(t, "r0 = 1\nexit")
	if _, _, err := Find(context.Background(), a, b, Options{}); !errors.Is(err, ErrChance) {
		t.Error(err)
	}
}
