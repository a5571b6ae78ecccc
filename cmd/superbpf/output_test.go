package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk that is full, at whichever of the three files, leaves what was there
// and nothing else.
func TestFullDisk(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The mount is this thread's alone and ends with it.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("small", dir, "tmpfs", 0, "size=40k"); err != nil {
			t.Error(err)
			return
		}
		names := []string{"out.o.cert.json", "out.o.report.txt", "out.o"}
		set := func(text string, sizes ...int) []file {
			var list []file
			for k, n := range names {
				list = append(list, file{filepath.Join(dir, n), []byte(strings.Repeat(text, sizes[k]))})
			}
			return list
		}
		for _, before := range []string{"", "a"} {
			if before != "" {
				if err := writeFiles(set(before, 5, 5, 5)...); err != nil {
					t.Error(err)
				}
			}
			for k := range names {
				sizes := []int{7, 7, 7}
				sizes[k] = 60_000
				if err := writeFiles(set("b", sizes...)...); err == nil {
					t.Errorf("60 kB fit %s", names[k])
				}
				left, err := os.ReadDir(dir)
				if err != nil || len(left) != 3*len(before) {
					t.Errorf("full at %s: left %v, %v", names[k], left, err)
				}
				for _, e := range left {
					if b, err := os.ReadFile(filepath.Join(dir, e.Name())); string(b) != "aaaaa" {
						t.Errorf("full at %s: %s holds %.9q, %v", names[k], e.Name(), b, err)
					}
				}
			}
		}
	}()
	<-done
}

// What takes a name that an output needs is said before the work.
func TestOutputIsADirectory(t *testing.T) {
	in, out := object(t, twoPrograms), filepath.Join(t.TempDir(), "out.o")
	if err := os.Mkdir(out+".report.txt", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, msg, code := run(t, "optimize", in, "-o", out); code != exitUsage || !strings.Contains(msg, "is a directory") {
		t.Errorf("exit code %d: %s", code, msg)
	}
}

// Debug sections that moving code makes untrue are named.
func TestLostSectionsAreNamed(t *testing.T) {
	needRoot(t)
	in, out := object(t, twoPrograms), filepath.Join(t.TempDir(), "out.o")
	if _, msg, code := run(t, "optimize", in, "-o", out, "-O1", "--no-measure"); code != 0 {
		t.Fatalf("exit code %d: %s", code, msg)
	}
	b, err := os.ReadFile(out + ".report.txt")
	if err != nil || !strings.Contains(string(b), ".debug_line") {
		t.Errorf("%v: %s", err, b)
	}
}

// A folder is where the kernel finds it, whatever the words of a path come to.
func TestOutputBehindParents(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "a"), "old")
	if err := os.Mkdir(filepath.Join(other, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(other, "below"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(dir+"/none/../a", []byte("new")); err == nil {
		t.Error("written behind a folder that is not there")
	}
	if err := writeFile(dir+"/link/../a", []byte("new")); err != nil {
		t.Error(err)
	}
	for file, want := range map[string]string{filepath.Join(dir, "a"): "old", filepath.Join(other, "a"): "new"} {
		if b, err := os.ReadFile(file); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", file, b, err)
		}
	}
	if _, msg, code := run(t, "optimize", object(t, twoPrograms), "-o", dir+"/none/a.o"); code != exitUsage || !strings.Contains(msg, "make it") {
		t.Errorf("exit code %d: %s", code, msg)
	}
}

// A device or a pipe is not replaced by a file, and said before the work; what a
// link leads to is, and the link stays.
func TestOutputIsNoFile(t *testing.T) {
	in, dir := object(t, twoPrograms), t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{pipe, link} {
		if _, msg, code := run(t, "optimize", in, "-o", out); code != exitUsage || !strings.Contains(msg, "is a device or a pipe") {
			t.Errorf("%s: exit code %d: %s", out, code, msg)
		}
		if err := writeFile(out, nil); err == nil {
			t.Errorf("%s was replaced", out)
		}
	}
	if st, err := os.Stat(pipe); err != nil || st.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("%v, %v", st, err)
	}
	for _, there := range []string{"", "old"} {
		file, link := filepath.Join(dir, "file"+there), filepath.Join(dir, "to-file"+there)
		if there != "" {
			write(t, file, there)
		}
		if err := os.Symlink(file, link); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(link, []byte("new")); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(link); err != nil || string(b) != "new" {
			t.Errorf("%q, %v", b, err)
		}
		if b, _ := os.ReadFile(file); there != "" && string(b) != "new" {
			t.Errorf("the link was followed to %q", b)
		}
	}
}
