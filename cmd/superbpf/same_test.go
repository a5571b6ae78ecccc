package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// The same input, options, seed and steps give the same bytes, whatever else the
// machine does, and wherever the budget ends the search.
func TestSameBytes(t *testing.T) {
	needRoot(t)
	in := compiled(t, "xdp_fwd")
	cut := map[bool]int{}
	for _, effort := range [][]string{{"-O1", "--steps", "0.4"}, {"-O1", "--steps", "100"}, {"-O2", "--steps", "2"}, {"-O3", "--steps", "4"}} {
		var outputs, certs [2][]byte
		for k := range outputs {
			busy := make(chan struct{})
			if k == 1 {
				go func() {
					for n := 0; ; n++ {
						select {
						case <-busy:
							return
						default:
						}
					}
				}()
			}
			out := filepath.Join(t.TempDir(), "out.o")
			text, message, code := run(t, append([]string{"optimize", in, "-o", out, "--no-measure", "--json", "--seed", "7"}, effort...)...)
			close(busy)
			if code != 0 {
				t.Fatalf("%v: %s", effort, message)
			}
			var res jsonResult
			if err := json.Unmarshal([]byte(text), &res); err != nil {
				t.Fatal(err)
			}
			for _, f := range res.Functions {
				cut[f.OutOfBudget]++
			}
			var err error
			if outputs[k], err = os.ReadFile(out); err != nil {
				t.Fatal(err)
			}
			if certs[k], err = os.ReadFile(out + ".cert.json"); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(outputs[0], outputs[1]) || !bytes.Equal(certs[0], certs[1]) {
			t.Errorf("%v: two runs differ", effort)
		}
	}
	if cut[true] == 0 || cut[false] == 0 {
		t.Errorf("out of budget or not: %v; the test wants both", cut)
	}
}
