package main

import (
	"bytes"
	"context"
	delf "debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxHost bounds the files that are searched for objects, in bytes.
const maxHost = 256 << 20

// findObjects lists the BPF objects in a file or below a folder, and those
// inside host programs there. Names begin with prefix.
func findObjects(path, prefix string) ([]foundObject, error) {
	var list []foundObject
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() && p != path {
			return nil
		}
		if st, err := os.Stat(p); err != nil || !st.Mode().IsRegular() || st.Size() > maxHost {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		name := prefix
		if rel, err := filepath.Rel(path, p); err == nil && rel != "." {
			name += ": " + filepath.Base(rel)
		}
		found := embedded(b)
		for n, o := range found {
			if len(found) > 1 {
				list = append(list, foundObject{fmt.Sprintf("%s #%d", name, n+1), o})
			} else {
				list = append(list, foundObject{name, o})
			}
		}
		return nil
	})
	return list, err
}

// embedded finds the 64-bit little-endian BPF objects in a file: the file
// itself, or images within it.
func embedded(b []byte) [][]byte {
	var list [][]byte
	magic := []byte(delf.ELFMAG + "\x02\x01\x01")
	if !bytes.HasPrefix(b, magic) {
		return nil
	}
	le := binary.LittleEndian
	for at := 0; ; at++ {
		n := bytes.Index(b[at:], magic)
		if n < 0 {
			return list
		}
		at += n
		e := b[at:]
		if len(e) < 64 || le.Uint16(e[18:]) != uint16(delf.EM_BPF) {
			continue
		}
		f, err := delf.NewFile(bytes.NewReader(e))
		if err != nil {
			continue
		}
		end := le.Uint64(e[40:]) + uint64(le.Uint16(e[58:]))*uint64(le.Uint16(e[60:]))
		for _, s := range f.Sections {
			if s.Type != delf.SHT_NOBITS {
				end = max(end, s.Offset+s.FileSize)
			}
		}
		if end <= uint64(len(e)) {
			list = append(list, e[:end:end])
		}
	}
}

// runTool runs a program of this host that ends with this process.
func runTool(ctx context.Context, dir string, stdout io.Writer, name string, args ...string) error {
	p, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("%s is missing: packages need a Debian or Ubuntu host", name)
	}
	c := exec.CommandContext(ctx, p, args...)
	c.Dir, c.Env = dir, append(os.Environ(), "LC_ALL=C")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.WaitDelay = time.Second
	var errs bytes.Buffer
	c.Stdout, c.Stderr = stdout, &errs
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: %w: %s", name, err, firstLine(strings.TrimSpace(errs.String())))
	}
	return nil
}

// unpackPackage fetches a Debian package and unpacks it below dir.
func unpackPackage(ctx context.Context, stderr io.Writer, name, dir string) (string, error) {
	fmt.Fprintf(stderr, "fetching package %s\n", name)
	d, err := os.MkdirTemp(dir, "package-*")
	if err != nil {
		return "", err
	}
	if err := runTool(ctx, d, nil, "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name); err != nil {
		return "", fmt.Errorf("package %s: %w; run 'apt-get update' and look at the network", name, err)
	}
	debs, err := filepath.Glob(filepath.Join(d, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("package %s: apt-get left %d files", name, len(debs))
	}
	root := filepath.Join(d, "root")
	return root, errors.Join(runTool(ctx, d, nil, "dpkg-deb", "-x", debs[0], root), os.Remove(debs[0]))
}

// compileSamples compiles what can be compiled of the kernel's samples/bpf in a
// package of sources, installed or fetched, against this kernel's types.
func compileSamples(ctx context.Context, stderr io.Writer, name, dir string) ([]foundObject, error) {
	tar := filepath.Join("/usr/src", name+".tar.xz")
	if _, err := os.Stat(tar); err != nil {
		root, err := unpackPackage(ctx, stderr, name, dir)
		if err != nil {
			return nil, err
		}
		tar = filepath.Join(root, tar)
	}
	src := filepath.Join(dir, "source")
	if err := os.Mkdir(src, 0o700); err != nil {
		return nil, err
	}
	fmt.Fprintf(stderr, "unpacking %s\n", tar)
	if err := runTool(ctx, src, nil, "tar", "-xf", tar, "--strip-components=1", name+"/samples/bpf", name+"/tools/include", name+"/include/uapi"); err != nil {
		return nil, err
	}
	var types bytes.Buffer
	if err := runTool(ctx, src, &types, "bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(src, "vmlinux.h"), types.Bytes(), 0o600); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(src, "samples/bpf/*.c"))
	if err != nil {
		return nil, err
	}
	var list []foundObject
	fmt.Fprintf(stderr, "compiling samples\n")
	tried := 0
	for _, f := range files {
		base := strings.TrimSuffix(filepath.Base(f), ".c")
		if !strings.HasSuffix(base, ".bpf") && !strings.HasSuffix(base, "_kern") {
			continue
		}
		tried++
		out := filepath.Join(src, base+".o")
		err := runTool(ctx, src, nil, "clang-19", "-target", "bpf", "-g", "-O2", "-w", "-D__TARGET_ARCH_x86", "-I"+src, "-I"+filepath.Join(src, "samples/bpf"),
			"-I"+filepath.Join(src, "tools/include"), "-I"+filepath.Join(src, "tools/include/uapi"), "-I/usr/include/x86_64-linux-gnu", "-c", f, "-o", out)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			continue // it needs a configured kernel
		}
		b, err := os.ReadFile(out)
		if err != nil {
			return nil, err
		}
		list = append(list, foundObject{name + ": " + base, b})
	}
	fmt.Fprintf(stderr, "%d of %d samples compile without a configured kernel\n", len(list), tried)
	return list, nil
}
