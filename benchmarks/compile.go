package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// ErrNoClang is returned when there is no compiler.
var ErrNoClang = errors.New("clang is not installed: install the package clang-19")

// Clang finds the compiler.
func Clang() (string, error) {
	for _, n := range []string{"clang-19", "clang"} {
		if p, err := exec.LookPath(n); err == nil {
			return p, nil
		}
	}
	return "", ErrNoClang
}

// Levels are the optimization levels that are compared.
var Levels = []string{"O1", "O2", "O3", "Os"}

// Compile builds the program for -mcpu=cpu at a level and returns the object.
func (b *Bench) Compile(ctx context.Context, level, cpu string) ([]byte, error) {
	clang, err := Clang()
	if err != nil {
		return nil, err
	}
	removeLeft()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-*", buildFolder, os.Getpid()))
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	include, err := fs.Sub(files, "include")
	if err != nil {
		return nil, err
	}
	for _, f := range []fs.FS{include, b.dir} {
		if err := os.CopyFS(dir, f); err != nil {
			return nil, err
		}
	}
	// Debug information names files: without the folder, that one is like the other.
	args := []string{"-target", "bpf", "-g", "-fdebug-compilation-dir=.", "-" + level, "-mcpu=" + cpu, "-I."}
	// Debian keeps asm/ apart by architecture.
	if multi := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]; multi != "" {
		args = append(args, "-I/usr/include/"+multi)
	}
	args = append(args, "-c", "prog.bpf.c", "-o", "out.o")
	cmd := exec.CommandContext(ctx, clang, args...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: clang -%s -mcpu=%s: %w\n%s", b.Name, level, cpu, err, text)
	}
	return os.ReadFile(filepath.Join(dir, "out.o"))
}

// buildFolder begins the names of temporary folders; the process's number follows.
const buildFolder = "superbpf-build-"

// removeLeft removes the folders of processes that were killed.
func removeLeft() {
	list, err := filepath.Glob(filepath.Join(os.TempDir(), buildFolder+"*-*"))
	if err != nil {
		return
	}
	for _, dir := range list {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), buildFolder), "-")
		if n, err := strconv.Atoi(pid); err == nil && n > 0 && errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			os.RemoveAll(dir)
		}
	}
}
