package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/traffic/remote"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// commandEnv has the test binary be the command itself.
const commandEnv = "SUPERBPF_COMMAND"

// readyEnv has it say when it begins.
const readyEnv = "SUPERBPF_READY"

// firstWrite closes a channel with the first write.
type firstWrite struct {
	once  sync.Once
	began chan bool
	text  bytes.Buffer
}

func (w *firstWrite) Write(b []byte) (int, error) {
	w.once.Do(func() { close(w.began) })
	return w.text.Write(b)
}

// start starts a command with a folder of its own for temporary files and waits
// until it has begun.
func start(t *testing.T, c *exec.Cmd, tmp string, run func() error) *firstWrite {
	t.Helper()
	w := &firstWrite{began: make(chan bool)}
	c.Stderr = w
	c.Env = append(c.Env, readyEnv+"=1", "TMPDIR="+tmp)
	if err := run(); err != nil {
		t.Fatal(err)
	}
	<-w.began
	return w
}

func TestMain(m *testing.M) {
	if args := os.Getenv(commandEnv); args != "" {
		if os.Getenv(readyEnv) != "" {
			fmt.Fprintln(os.Stderr, "ready")
		}
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
	links, tmp := interfaces(t), t.TempDir()
	plain := []string{"bench", "run", "--suite", dir, "--out", out, "--packets", "300", "--quick", "-O1", "--budget", "5s"}
	args := slices.Clone(plain)
	for try := range 6 {
		c := command(t, args...)
		stderr := start(t, c, tmp, c.Start)
		signal := end(t, c, try, 4000)
		t.Logf("%v after %d lines", signal, bytes.Count(stderr.text.Bytes(), []byte("\n")))
		noneLeft(t, name, c.Process.Pid, links)
		if len(args) == len(plain) {
			if runs, _ := filepath.Glob(filepath.Join(out, "records", "*", runFile)); len(runs) > 0 {
				args = append(args, "--resume")
			}
		}
	}
	c := command(t, args...)
	c.Env = append(c.Env, "TMPDIR="+tmp)
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
	c = command(t, append(slices.Clone(plain), "--resume")...)
	text, err := c.CombinedOutput()
	if err != nil || strings.Count(string(text), "has its record already") != 2 {
		t.Errorf("%v: a finished run was not resumed from its records:\n%s", err, text)
	}
	wholeRecords(t, out)
	// Other options are another run.
	c = command(t, append(slices.Clone(plain), "--resume", "--seed", "2")...)
	if text, err := c.CombinedOutput(); err == nil || !strings.Contains(string(text), "another one") {
		t.Errorf("resumed with another seed: %v\n%s", err, text)
	}
}

// wholeRecords sees that records are whole or not there.
func wholeRecords(t *testing.T, out string) {
	t.Helper()
	filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".") {
			t.Errorf("%s is left", path)
		}
		if err == nil && strings.HasSuffix(path, ".jsonl") {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := measure.ReadRecords(f); err != nil {
				t.Errorf("%s is not whole: %v", path, err)
			}
		}
		return err
	})
}

// compiled compiles the first program of a suite.
func compiled(t *testing.T, name string) string {
	t.Helper()
	suite, err := benchmarks.Load(suite(t, name))
	if err != nil {
		t.Fatal(err)
	}
	b, err := suite[0].Compile(t.Context(), "O2", "v2")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "in.o")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// measure and optimize that are killed or interrupted at any moment leave nothing
// but whole files, and the next run does its work.
func TestInterruptedCommandsLeaveNothing(t *testing.T) {
	links := interfaces(t)
	for _, what := range []string{"measure", "optimize"} {
		t.Run(what, func(t *testing.T) {
			name := fmt.Sprintf("kill%06x", rand.Uint32()&0xffffff)
			in := compiled(t, name)
			dir, tmp := t.TempDir(), t.TempDir()
			out := filepath.Join(dir, "out.o")
			args := []string{"optimize", in, "-o", out, "-O1", "--budget", "5s"}
			if what == "measure" {
				args = []string{"measure", in, in, "--packets", "300", "--quick", "--throughput", "--load-curve", "--out", dir}
			}
			for try := range 6 {
				c := command(t, args...)
				start(t, c, tmp, c.Start)
				t.Log(end(t, c, try, 2500))
				noneLeft(t, name, c.Process.Pid, links)
				if b, err := os.ReadFile(out); err == nil {
					if _, err := elf.Read(b); err != nil {
						t.Errorf("the output is not whole: %v", err)
					}
				}
			}
			c := command(t, args...)
			if text, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			noneLeft(t, name, c.Process.Pid, links)
			wholeRecords(t, dir)
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("temporary files are left: %v, %v", left, err)
			}
			if what == "optimize" {
				if text, err := command(t, "verify", in, out).CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, text)
				}
			}
		})
	}
}

// A generator host that is killed or interrupted while it sends leaves nothing.
func TestInterruptedTrafficServer(t *testing.T) {
	kerneltest.Require(t)
	ns, err := testbed.NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	pair, err := ns.NewPair(true)
	if err != nil {
		t.Fatal(err)
	}
	drop, err := loader.LoadRaw(kerneltest.XDP, kerneltest.Insns(kerneltest.Mov(0, 1), kerneltest.Exit), loader.RawOptions{Name: "drop"})
	if err != nil {
		t.Fatal(err)
	}
	defer drop.Close()
	at, err := ns.Attach(pair.Right, drop.FD(), loader.XDPNative) // live frames want one
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	list := func() (out string) {
		if err := ns.Do(func() error { out = interfaces(t); return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	before, links := list(), interfaces(t)
	for try := range 6 {
		c := command(t, "traffic", "serve", "--iface", pair.Left, "--listen", "127.0.0.1:0")
		stdout, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		start(t, c, t.TempDir(), func() error { return ns.Do(c.Start) })
		lines := bufio.NewScanner(stdout)
		addr, key := "", ""
		for key == "" && lines.Scan() {
			if _, rest, ok := strings.Cut(lines.Text(), "listening on "); ok {
				addr, _, _ = strings.Cut(rest, ",")
			}
			key, _ = strings.CutPrefix(lines.Text(), peerKeyEnv+"=")
			if key == lines.Text() {
				key = ""
			}
		}
		k, err := remote.ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		client := remote.NewClient(addr, k, func(_ context.Context, network, addr string) (conn net.Conn, err error) {
			err = ns.Do(func() error { conn, err = net.Dial("tcp4", addr); return err })
			return conn, err
		})
		sending := make(chan error, 1)
		go func() {
			_, err := client.Send(context.Background(), remote.Request{Packets: [][]byte{make([]byte, 64)}, Millis: 20_000})
			sending <- err
		}()
		t.Log(end(t, c, try, 1500))
		if err := <-sending; err == nil {
			t.Error("the request ended as if nothing had happened")
		}
		client.Close()
		noneLeft(t, "sb_generator", c.Process.Pid, links)
		if now := list(); now != before {
			t.Errorf("interfaces were %s, are %s", before, now)
		}
	}
}

// end lets a command run for at most some ms and ends it with one signal or
// another. One that it can catch must end it in an orderly way.
func end(t *testing.T, c *exec.Cmd, try, most int) os.Signal {
	t.Helper()
	time.Sleep(time.Duration(200+rand.IntN(most)) * time.Millisecond)
	signal := []os.Signal{os.Kill, os.Interrupt, syscall.SIGTERM}[try%3]
	c.Process.Signal(signal)
	stuck := time.AfterFunc(time.Minute, func() {
		t.Errorf("%v did not end it", signal)
		c.Process.Kill()
	})
	c.Wait()
	stuck.Stop()
	if signal != os.Kill && !c.ProcessState.Exited() {
		t.Errorf("%v: it did not end by itself: %v", signal, c.ProcessState)
	}
	return signal
}

// noneLeft sees that nothing is left of a command that ended.
func noneLeft(t *testing.T, name string, pid int, links string) {
	t.Helper()
	eventually(t, "programs", func() string {
		n, err := loader.ProgramsNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Repeat("x", n)
	})
	eventually(t, "control groups", func() string {
		list, err := loader.CgroupsOf(pid)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(list, " ")
	})
	if now := interfaces(t); now != links {
		t.Errorf("interfaces were %s, are %s", links, now)
	}
	for _, what := range []string{"/run/netns/*", "/var/run/netns/*", "/sys/fs/bpf/superbpf*"} {
		if list, _ := filepath.Glob(what); len(list) > 0 {
			t.Errorf("%v are left", list)
		}
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
