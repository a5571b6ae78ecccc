package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Pairs that differ in what they add to a map are told apart, even where the map
// is empty at first; equal ones and unchanged ones are counted.
func TestBenchDiffer(t *testing.T) {
	needRoot(t)
	in, out, results := t.TempDir(), t.TempDir(), t.TempDir()
	put := func(dir, name, from string) {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	one := object(t, counted, "-DNAME=p", "-DINC=1", "-DENTRIES=8")
	put(in, "same.o", one)
	put(out, "same.o", one)
	put(in, "equal.o", one)
	put(out, "equal.o", object(t, counted, "-DNAME=p", "-DINC=({ volatile int one = 1; one; })", "-DENTRIES=8"))
	args := []string{"bench", "differ", in, "--pairs", out, "--packets", "500", "--results", results}
	text, _, code := run(t, args...)
	if code != 0 || !strings.Contains(text, "2 objects, 1 programs with changed code, 3 rounds") {
		t.Fatalf("exit code %d:\n%s", code, text)
	}
	if _, err := os.Stat(filepath.Join(results, "differ.tsv")); err != nil {
		t.Error(err)
	}
	put(in, "unlike.o", one)
	put(out, "unlike.o", object(t, counted, "-DNAME=p", "-DINC=2", "-DENTRIES=8"))
	text, _, code = run(t, args...)
	if code != exitDifferent || !strings.Contains(text, "unlike.o p: round 1") || !strings.Contains(text, "map m") {
		t.Fatalf("exit code %d:\n%s", code, text)
	}
	if _, msg, code := run(t, "bench", "differ"); code != exitUsage {
		t.Errorf("without objects: exit code %d, %s", code, msg)
	}
}

// Objects are found where links lead to them.
func TestObjectFiles(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	link := func(to string, name ...string) string {
		at := filepath.Join(name...)
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	write(t, filepath.Join(other, "a.o"), "")
	write(t, filepath.Join(dir, "b.o"), "")
	link(filepath.Join(other, "a.o"), dir, "c.o")
	link(filepath.Join(other, "gone.o"), dir, "d.o")
	link(dir, dir, "again.o")
	folder, file := link(dir, other, "folder"), link(filepath.Join(dir, "b.o"), other, "e")
	got, err := objectFiles([]string{folder, file})
	want := []string{filepath.Join(dir, "b.o"), filepath.Join(dir, "c.o"), file}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}
