package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a dead writer left goes with the next write; what a live one has, and other
// files, stay.
func TestWriteFileRemovesWhatDeadWritersLeft(t *testing.T) {
	dir := t.TempDir()
	c := exec.Command("true")
	if err := c.Run(); err != nil {
		t.Skip(err)
	}
	dead := filepath.Join(dir, fmt.Sprintf(".a[1].o.%d-00000000", c.Process.Pid))
	live := filepath.Join(dir, fmt.Sprintf(".a[1].o.%d-00000000", os.Getpid()))
	other := filepath.Join(dir, fmt.Sprintf(".b.o.%d-00000000", c.Process.Pid))
	for _, name := range []string{dead, live, other} {
		write(t, name, "half")
	}
	path := filepath.Join(dir, "a[1].o")
	for _, text := range []string{"one", "two"} {
		if err := writeFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("%q, %v", b, err)
		}
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, filepath.Join(dir, e.Name()))
	}
	if got, want := strings.Join(names, " "), strings.Join([]string{live, other, path}, " "); got != want {
		t.Errorf("the folder holds\n%s, want\n%s", got, want)
	}
	if err := writeFile(filepath.Join(dir, "none", "x"), nil); err == nil {
		t.Error("a file in a folder that is not there was written")
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}
