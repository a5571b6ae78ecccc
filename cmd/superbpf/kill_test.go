package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
)

// commandEnv has the test binary be the command itself.
const commandEnv = "SUPERBPF_COMMAND"

func TestMain(m *testing.M) {
	if args := os.Getenv(commandEnv); args != "" {
		os.Args = append([]string{"superbpf"}, strings.Split(args, "\n")...)
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), commandEnv+"="+strings.Join(args, "\n"))
	return c
}

// suite makes a folder with one small program.
func suite(t *testing.T, name string) string {
	t.Helper()
	kerneltest.Require(t)
	if _, err := benchmarks.Clang(); err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "suite")
	for _, p := range []string{"one", "two"} {
		write(t, filepath.Join(dir, p, "bench.yaml"), fmt.Sprintf("name: %s\nprogram: %s\n", p, name))
		write(t, filepath.Join(dir, p, "prog.bpf.c"), `#include "net.h"
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
SEC("xdp") int `+name+`(struct xdp_md *ctx) {
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u8 *b = data;
	__u32 k = 0;
	if (data + 14 > end)
		return XDP_PASS;
	k = (b[0] ^ b[1]) & 3;
	__u64 *v = bpf_map_lookup_elem(&counts, &k);
	if (v)
		*v += b[2];
	return XDP_DROP;
}
LICENSE_GPL;
`)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A run that is killed or interrupted at any moment leaves no program, interface,
// name of a namespace, control group or half-written file, and --resume ends it.
func TestInterruptedRunResumes(t *testing.T) {
	name := fmt.Sprintf("kill%06x", rand.Uint32()&0xffffff)
	dir := suite(t, name)
	out := filepath.Join(t.TempDir(), "out")
	links := interfaces(t)
	plain := []string{"bench", "run", "--suite", dir, "--out", out, "--packets", "300", "--quick", "-O1", "--budget", "5s"}
	args := slices.Clone(plain)
	for try := range 6 {
		c := command(t, args...)
		var stderr bytes.Buffer
		c.Stderr = &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(200+rand.IntN(4000)) * time.Millisecond)
		signal := os.Kill
		if try%2 == 1 {
			signal = os.Interrupt
		}
		c.Process.Signal(signal)
		c.Wait()
		t.Logf("%v after %d lines", signal, bytes.Count(stderr.Bytes(), []byte("\n")))
		eventually(t, "programs", func() string {
			n, err := loader.ProgramsNamed(name)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Repeat("x", n)
		})
		eventually(t, "control groups", func() string {
			list, err := loader.CgroupsOf(c.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Join(list, " ")
		})
		if now := interfaces(t); now != links {
			t.Errorf("interfaces were %s, are %s", links, now)
		}
		if len(args) == len(plain) {
			if runs, _ := filepath.Glob(filepath.Join(out, "records", "*", runFile)); len(runs) > 0 {
				args = append(args, "--resume")
			}
		}
	}
	c := command(t, args...)
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	c = command(t, append(slices.Clone(plain), "--resume")...)
	text, err := c.CombinedOutput()
	if err != nil || strings.Count(string(text), "has its record already") != 2 {
		t.Errorf("%v: a finished run was not resumed from its records:\n%s", err, text)
	}
	// Records are whole or not there.
	filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".tmp") {
			t.Errorf("%s is left", path)
		}
		if err == nil && strings.HasSuffix(path, ".jsonl") {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s := bufio.NewScanner(f)
			s.Buffer(nil, 64<<20)
			for s.Scan() {
				if b := s.Bytes(); b[0] != '{' || b[len(b)-1] != '}' {
					t.Errorf("%s is not whole", path)
				}
			}
		}
		return err
	})
	// Other options are another run.
	c = command(t, append(slices.Clone(plain), "--resume", "--seed", "2")...)
	if text, err := c.CombinedOutput(); err == nil || !strings.Contains(string(text), "another one") {
		t.Errorf("resumed with another seed: %v\n%s", err, text)
	}
}

// interfaces lists what this namespace has.
func interfaces(t *testing.T) string {
	t.Helper()
	list, err := loader.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range list {
		names = append(names, fmt.Sprint(i.Name, i.Program))
	}
	return strings.Join(names, " ")
}

// eventually waits until nothing is left: the kernel frees things in the background.
func eventually(t *testing.T, what string, left func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		l := left()
		if l == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("%s are left: %s", what, l)
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}
