package guest

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cavaliergopher/cpio"
	"golang.org/x/sys/unix"
)

// initName is the guest's program, which lies beside this one.
const initName = "superbpf-guest"

// initDir is where the guest's program lies, empty for beside this one.
var initDir string

// findInit returns the guest's program.
func findInit() (string, error) {
	dir := initDir
	if dir == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		dir = filepath.Dir(self)
	}
	p := filepath.Join(dir, initName)
	f, err := elf.Open(p)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%s is missing: './run.sh build' makes it, or CGO_ENABLED=0 go build -o %s ./cmd/%s", p, p, initName)
	} else if err != nil {
		return "", fmt.Errorf("%s: %w", p, err)
	}
	defer f.Close()
	for _, s := range f.Progs {
		if s.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s is not linked statically: build it with CGO_ENABLED=0", p)
		}
	}
	return p, nil
}

// initrd packs the guest's initial file system into a file that has no name and
// goes with its descriptor.
func initrd(program string, modules []string) (*os.File, error) {
	var b bytes.Buffer
	w := cpio.NewWriter(&b)
	add := func(name string, mode cpio.FileMode, data []byte) error {
		if err := w.WriteHeader(&cpio.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err := w.Write(data)
		return err
	}
	for _, d := range []string{"dev", "proc", "sys", "modules"} {
		if err := add(d, cpio.TypeDir|0o755, nil); err != nil {
			return nil, err
		}
	}
	for _, f := range append([]string{program}, modules...) {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		name := "init"
		if f != program {
			name = "modules/" + filepath.Base(f)
		}
		if err := add(name, cpio.TypeReg|0o755, data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("initrd", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "initrd")
	if _, err := f.Write(b.Bytes()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
