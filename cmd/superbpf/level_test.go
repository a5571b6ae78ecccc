package main

import "testing"

func TestLevel(t *testing.T) {
	for text, want := range map[string]level{"1": 1, "4": 4, "v3": 3, "0": 0, "v5": 0, "probe": 0, "": 0} {
		var l level
		if err := l.Set(text); l != want || (err == nil) != (want != 0) {
			t.Errorf("%q is level %d, error %v", text, l, err)
		}
	}
}
