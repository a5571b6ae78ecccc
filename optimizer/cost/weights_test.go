package cost

import (
	"testing"

	"github.com/superbpf/superbpf/optimizer/prog"
)

func parseFunc(t *testing.T, text string) *prog.Func {
	t.Helper()
	f, err := prog.ParseFunc("f", text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestGuess(t *testing.T) {
	f := parseFunc(t, `
r2 = 0
r3 = *(u32 *)(r1 + 0)
r4 = *(u32 *)(r1 + 4)
r5 = r3
r5 += 14
if r5 > r4 goto out
loop:
r2 += 1
if r2 < 20 goto loop
r0 = 2
exit
out:
r0 = 1
exit
`)
	w := Guess(f)
	entry, loop, after, out := w[0], w[6], w[8], w[10]
	if entry != 1 || !(loop > 4*after) || !(after > 4*out) || out <= 0 {
		t.Errorf("entry %g, loop %g, after it %g, early exit %g", entry, loop, after, out)
	}
}

// Code shared by two places runs as often as both did.
func TestCarryAddsUpSharedCode(t *testing.T) {
	f := parseFunc(t, `
r0 = *(u32 *)(r1 + 12) @0
if r0 == 0 goto b @1
r0 += 1 @2
goto tail @3
b:
r0 += 2 @6
tail:
r0 <<= 1 @7
exit @8
`)
	input := []float64{1, 1, .7, .7, .7, .7, .3, .3, .3}
	w := Carry(input, f)
	if w[5] < .99 || w[6] < .99 || w[2] != .7 || w[4] != .3 {
		t.Errorf("weights %v", w)
	}
}

// No instruction runs more often than control comes to it.
func TestCarryBoundsMovedCode(t *testing.T) {
	f := parseFunc(t, `
r0 = *(u32 *)(r1 + 12) @0
if r0 == 0 goto b @1
r0 += 1 @2
exit @3
b:
r0 += 2 @0
exit @5
`)
	w := Carry([]float64{1, .2, .2, .2, .2, .2}, f)
	if w[4] > 1 {
		t.Errorf("weights %v", w)
	}
}

// Copies of one exit on both sides of a branch share what the exit ran.
func TestCarrySharesDuplicatedCode(t *testing.T) {
	f := parseFunc(t, `
r1 = *(u32 *)(r1 + 12) @0
if r1 == 0 goto b @1
r1 += 1 @2
r0 = 0 @4
exit @5
b:
r0 = 1 @4
exit @5
`)
	w := Carry([]float64{1, 1, .9, .9, 1, 1}, f)
	if w[5] > .11 || w[5] < .09 {
		t.Errorf("weights %v", w)
	}
}
