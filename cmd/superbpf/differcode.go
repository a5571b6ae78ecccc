package main

import (
	"fmt"
	"io"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// changedPrograms names the programs of a that contain a function with other
// code in b.
func changedPrograms(a, b *elf.Object) map[string]bool {
	out := map[string]bool{}
	for i, f := range a.Functions() {
		if fs := b.Functions(); i < len(fs) && fs[i].Name == f.Name && prog.SameCodeRefs(f, fs[i]) {
			continue
		}
		for _, u := range a.Users(i) {
			out[u] = true
		}
	}
	return out
}

// unchanged compares what the kernel gets of a program whose code reads the same
// on both sides: relocations may lead it elsewhere.
func (s *differSettings) unchanged(stdout io.Writer, t *differTally, file string, x, y []byte, name string) {
	var code [2]string
	for i, object := range [][]byte{x, y} {
		l, err := loader.Open(object, name, s.progType)
		if err != nil {
			if i == 0 {
				t.apart["the kernel refuses the input"]++
			} else {
				t.found(stdout, file, name, "the kernel takes the input and refuses the output, whose code is the same: "+firstLine(err.Error()))
			}
			return
		}
		code[i], err = l.Code()
		l.Close()
		if err != nil {
			t.apart[reason(err)]++
			return
		}
	}
	if code[0] != code[1] {
		t.found(stdout, file, name, fmt.Sprintf("the code is the same, but not what the kernel gets of it: hash, maps and places in them %s; of the output %s", code[0], code[1]))
		return
	}
	t.apart["unchanged, and the same to the kernel"]++
}
