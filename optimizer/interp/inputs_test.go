package interp

import (
	"reflect"
	"testing"
)

const classify = `
map counts hash 4 8 64
map tries lpm_trie 8 8 64
map hits array 4 8 4
r6 = 0
r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r4 = r2
r4 += 34
r0 = 1
if r4 > r3 goto out
r5 = *(u16 *)(r2 + 12)
if r5 != 8 goto out
r7 = *(u8 *)(r2 + 23)
*(u32 *)(r10 - 4) = r7
r2 = r10
r2 += -4
r1 = map counts ll
call map_lookup_elem
if r0 == 0 goto insert
r1 = 1
lock *(u64 *)(r0 + 0) += r1
r0 = 2
goto out
insert:
*(u64 *)(r10 - 16) = 1
r1 = map counts ll
r2 = r10
r2 += -4
r3 = r10
r3 += -16
r4 = 0
call map_update_elem
*(u32 *)(r10 - 8) = 32
r1 = map tries ll
r2 = r10
r2 += -8
call map_lookup_elem
r1 = map hits ll
r2 = r10
r2 += -4
call map_lookup_elem
r0 = 3
out:
exit`

// TestGeneratorReachesEverything: random inputs run every instruction of a
// program with branches on packets and maps, on both evaluators alike.
func TestGeneratorReachesEverything(t *testing.T) {
	f := parse(t, classify)
	fast, slow := New(), New()
	slow.Reference = true
	p, err := fast.Load(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	q, err := slow.Load(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	profile := fast.Profile(p)
	g, h := NewGenerator(f, nil, nil, 5), NewGenerator(f, nil, nil, 5)
	for range 300 {
		in := g.Next()
		if !reflect.DeepEqual(in, h.Next()) {
			t.Fatal("the same seed gives different inputs")
		}
		a, err := fast.Run(p, in)
		if err != nil {
			t.Fatal(err)
		}
		b, err := slow.Run(q, in)
		if err != nil {
			t.Fatal(err)
		}
		if ok, why := Equal(&a, &b, f); !ok {
			t.Fatal(why)
		}
	}
	for k, n := range p.Counts(profile, f.Name) {
		if n == 0 {
			t.Errorf("instruction %d never ran", k)
		}
	}
}
