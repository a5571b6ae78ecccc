package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pending is a file that lies complete on the disk, but not yet under its name. It
// has no name at all, so that nothing is left of it if the process dies, but between
// two system calls a name of its own, which the next write removes.
type pending struct {
	path string
	name string // the other name
	f    *os.File
	// named: it has that name already, on a file system that wants one.
	named bool
}

// place is where a file of that name goes: through links to what is there. Only
// files are replaced, no devices or pipes.
func place(path string) (string, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir, base := filepath.Split(path) // with .. behind what is no folder, or a link to one
		if dir == "" {
			dir = "."
		}
		dir, err := filepath.EvalSymlinks(dir)
		return filepath.Join(dir, base), err
	case err != nil:
		return "", err
	case !st.Mode().IsRegular() && !st.IsDir(): // a folder is not replaced by a file anyway
		return "", fmt.Errorf("%s is a device or a pipe: name a file", path)
	}
	return filepath.EvalSymlinks(path)
}

// prepare writes a file without its name.
func prepare(f file) (_ *pending, err error) {
	path, err := place(f.path)
	if err != nil {
		return nil, err
	}
	dir, base := filepath.Dir(path), filepath.Base(path)
	removeLeft(dir, base)
	p := &pending{path: path, name: filepath.Join(dir, fmt.Sprintf(".%s.%d-%08x", base, os.Getpid(), rand.Uint32()))}
	if p.f, err = os.OpenFile(dir, unix.O_TMPFILE|os.O_WRONLY, 0o600); err != nil {
		if p.f, err = os.OpenFile(p.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
			return nil, err
		}
		p.named = true
	}
	if _, err = p.f.Write(f.data); err == nil {
		err = errors.Join(p.f.Chmod(0o644), p.f.Sync())
	}
	if err != nil {
		p.drop()
		return nil, err
	}
	return p, nil
}

// rename puts the file in the place of what has its name.
func (p *pending) rename() error {
	if !p.named {
		at := fmt.Sprintf("/proc/self/fd/%d", p.f.Fd())
		if err := unix.Linkat(unix.AT_FDCWD, at, unix.AT_FDCWD, p.name, unix.AT_SYMLINK_FOLLOW); err != nil {
			return os.NewSyscallError("link", err)
		}
		p.named = true
	}
	if err := os.Rename(p.name, p.path); err != nil {
		return err
	}
	p.named = false
	return nil
}

// drop lets go of the file; what was not renamed is gone.
func (p *pending) drop() {
	p.f.Close()
	if p.named {
		os.Remove(p.name)
	}
}

// removeLeft removes what writers of a file that died left beside it.
func removeLeft(dir, base string) {
	left, err := filepath.Glob(filepath.Join(dir, "."+escapeGlob(base)+".*-*"))
	if err != nil {
		return
	}
	for _, name := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(name), "."+base+"."), "-")
		if n, err := strconv.Atoi(pid); err == nil && n > 0 && errors.Is(unix.Kill(n, 0), unix.ESRCH) {
			os.Remove(name)
		}
	}
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}
