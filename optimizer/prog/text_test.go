package prog

import (
	"testing"
)

const sampleText = `type tc
map flows hash 4 8 16
map data array 4 64 1
r6 = r1
*(u32 *)(r10 - 4) = 1
r2 = r10
r2 += -4
r1 = map flows ll
call map_lookup_elem
if r0 == 0 goto out
r1 = value data+8 ll
r3 = 0x1122334455667788 ll
lock *(u64 *)(r1 + 0) += r3
call func helper_body
r2 = func helper_body ll
w3 s>>= 4 @2
out:
r0 = 0
exit
`

func sameText(t *testing.T, f *Func) {
	t.Helper()
	text := FormatFunc(f)
	g, err := ParseFunc("again", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !SameCodeRefs(f, g) || f.Type != g.Type || f.Entry != g.Entry {
		t.Fatalf("text form changed the function:\n%s\nthen\n%s", text, FormatFunc(g))
	}
	for i, a := range f.Args {
		if b := g.Args[i]; a.String() != b.String() {
			t.Fatalf("argument %d is %v, then %v", i+1, a, b)
		}
	}
	for k := range f.Insns {
		if f.Insns[k].Origin != g.Insns[k].Origin {
			t.Fatalf("instruction %d: origin %d, then %d", k, f.Insns[k].Origin, g.Insns[k].Origin)
		}
	}
}

func TestTextRoundTrip(t *testing.T) {
	f, err := ParseFunc("sample", sampleText)
	if err != nil {
		t.Fatal(err)
	}
	sameText(t, f)
	f, err = ParseFunc("subprogram", "map m hash 4 8 1\nsubprogram 2 context value:m 0..7 any scalar\nr0 = 0\nexit")
	if err != nil {
		t.Fatal(err)
	}
	sameText(t, f)
}

// FuzzText: what ParseFunc accepts, FormatFunc writes so that it reads the same.
func FuzzText(f *testing.F) {
	f.Add(sampleText)
	f.Add("subprogram 2\nl:\nif w1 s< -1 goto l\nr0 = *(s8 *)(r2 - 3)\nexit")
	f.Add("map m hash 4 8 1\nsubprogram 2 context value:m 0..7 any scalar\nexit")
	f.Fuzz(func(t *testing.T, text string) {
		fn, err := ParseFunc("fuzz", text)
		if err != nil {
			return
		}
		sameText(t, fn)
	})
}
