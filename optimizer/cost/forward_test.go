package cost

import (
	"fmt"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/prog"
)

func TestWaits(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"two halves": {`
			*(u16 *)(r10 - 8) = 1
			*(u16 *)(r10 - 6) = 2
			r0 = *(u32 *)(r10 - 8)`, "2 of 1"},
		"a part that came later": {`
			*(u64 *)(r10 - 8) = 0
			*(u8 *)(r10 - 4) = 2
			r0 = *(u64 *)(r10 - 8)`, "2 of 1"},
		"a part of one store": {`
			*(u64 *)(r10 - 8) = 0
			r0 = *(u16 *)(r10 - 4)`, ""},
		"another place": {`
			*(u64 *)(r10 - 8) = 0
			*(u8 *)(r10 - 16) = 2
			r0 = *(u64 *)(r10 - 8)`, ""},
		"only the first load waits": {`
			*(u16 *)(r10 - 8) = 1
			*(u16 *)(r10 - 6) = 2
			r0 = *(u32 *)(r10 - 8)
			r1 = *(u32 *)(r10 - 8)`, "2 of 1"},
		"long ago": {`
			*(u16 *)(r10 - 8) = 1
			*(u16 *)(r10 - 6) = 2
			` + strings.Repeat("r0 = 1\n", forwardWindow+1) + `
			r0 = *(u32 *)(r10 - 8)`, ""},
		"through a pointer": {`
			r2 = *(u32 *)(r1 + 0)
			*(u16 *)(r2 + 0) = 1
			*(u16 *)(r2 + 2) = 1
			r0 = *(u32 *)(r2 + 0)`, "3 of 2"},
		"through a pointer that moved": {`
			r2 = *(u32 *)(r1 + 0)
			*(u16 *)(r2 + 0) = 1
			*(u16 *)(r2 + 2) = 1
			r2 += 2
			r0 = *(u32 *)(r2 + 0)`, ""},
		"a key": {`
			map m hash 8 8 16
			*(u32 *)(r10 - 4) = 1
			*(u16 *)(r10 - 6) = 1
			*(u16 *)(r10 - 8) = 1
			r2 = r10
			r2 += -8
			r1 = map m ll
			call map_lookup_elem
			r0 = 0`, "6 of 2"},
		"the end of a key of odd length": {`
			map m hash 7 8 16
			*(u32 *)(r10 - 4) = 1
			*(u16 *)(r10 - 6) = 1
			*(u16 *)(r10 - 8) = 1
			r2 = r10
			r2 += -8
			r1 = map m ll
			call map_lookup_elem
			r0 = 0`, ""},
		"behind a call": {`
			*(u16 *)(r10 - 8) = 1
			*(u16 *)(r10 - 6) = 2
			call ktime_get_ns
			r0 = *(u32 *)(r10 - 8)`, ""},
	} {
		f, err := prog.ParseFunc(name, "type xdp\n"+c.text+"\nexit\n")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, w := range Waits(f, nil) {
			for _, x := range w.Words {
				got = append(got, fmt.Sprintf("%d of %d", w.At, x.Store))
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		f.Type = prog.TypeTracepoint
		if w := Waits(f, nil); w != nil {
			t.Errorf("%s: waits in a program that runs now and then: %v", name, w)
		}
	}
}
