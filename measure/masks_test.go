package measure

import (
	"encoding/binary"
	"slices"
	"testing"
)

// A clock's upper bytes differ now and then by the carry alone.
func TestMasksCarry(t *testing.T) {
	m := newMasks()
	for o := 8; o < 11; o++ {
		m.hide("map m", o)
	}
	value := func(first, second uint64) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, first), second)
	}
	for _, c := range []struct {
		x, y []byte
		want []int
	}{
		{value(1, 0x0e12c1fffb49), value(1, 0x0e12c200024a), nil},
		{value(1, 0x0e12c200024a), value(1, 0x0e12c1fffb49), nil},
		{value(1, 0x0e12c100024a), value(1, 0x0e12c2fffb49), []int{11}},
		{value(1, 0x0e12c1000000), value(1, 0x0e22c1000000), []int{12}},
		{value(1, 0xfffb49), value(2, 0x1000000), []int{0}},
		{value(0xff, 0), value(0x100, 0), []int{0, 1}},
	} {
		if got := m.visible("map m", c.x, c.y); !slices.Equal(got, c.want) {
			t.Errorf("%x against %x: visible %v, want %v", c.x, c.y, got, c.want)
		}
	}
}
