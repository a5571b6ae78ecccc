package gen

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the generated file")

func TestGeneratedFileIsFresh(t *testing.T) {
	for file, source := range map[string]func() ([]byte, error){"zexec.go": Source, "zlockstep.go": LockstepSource} {
		want, err := source()
		if err != nil {
			t.Fatal(err)
		}
		path := "../" + file
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go generate ./optimizer/interp", file)
		}
	}
}
