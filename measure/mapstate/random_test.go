package mapstate

import (
	"bytes"
	"reflect"
	"testing"
)

// What Random makes fits the map, is the same for the same seed, and differs
// between seeds; maps that hold no plain bytes get nothing.
func TestRandom(t *testing.T) {
	for _, s := range []Shape{
		{"a", 2, 4, 12, 3, 0}, {"p", 6, 4, 8, 100, 0}, {"h", 1, 6, 20, 1000, 0}, {"l", 9, 1, 1, 4, 0}, {"t", 11, 8, 4, 64, 1},
	} {
		x, y, z := Random(s, 1, []uint64{7}), Random(s, 1, []uint64{7}), Random(s, 2, nil)
		if !reflect.DeepEqual(x, y) || reflect.DeepEqual(x, z) || len(x.Entries) == 0 || len(x.Entries) > int(s.MaxEntries) {
			t.Errorf("%s: %d entries", s.Name, len(x.Entries))
		}
		for i, e := range x.Entries {
			if len(e.Key) != int(s.KeySize) || len(e.Value) != int(s.ValueSize) || e.Deferred() {
				t.Errorf("%s: entry %d does not fit", s.Name, i)
			}
			for _, f := range x.Entries[:i] {
				if bytes.Equal(e.Key, f.Key) {
					t.Errorf("%s: key %x comes twice", s.Name, e.Key)
				}
			}
		}
	}
	for _, s := range []Shape{{"prog_array", 3, 4, 4, 8, 0}, {"ringbuf", 27, 0, 0, 4096, 0}, {"ro", 2, 4, 4, 1, userReadOnly}} {
		if x := Random(s, 1, nil); len(x.Entries) > 0 {
			t.Errorf("%s: %d entries", s.Name, len(x.Entries))
		}
	}
}
