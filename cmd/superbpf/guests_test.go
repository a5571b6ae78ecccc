package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/superbpf/superbpf/loader/guest"
)

// needGuests returns the version of a kernel that can be started; it skips the
// test where there is none, as package guest's tests do.
func needGuests(t *testing.T) string {
	t.Helper()
	needRoot(t)
	give := t.Skipf
	if os.Getenv("SUPERBPF_GUESTS") == "1" {
		give = t.Fatalf
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	init := filepath.Join(filepath.Dir(self), "superbpf-guest")
	if _, err := os.Stat(init); err != nil {
		c := exec.Command("go", "build", "-buildvcs=false", "-o", init, "../superbpf-guest")
		c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if b, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
	}
	if err := guest.Available(); err != nil {
		give("no virtual machines here: %v", err)
	}
	list, err := guest.Cached()
	if err != nil || len(list) == 0 {
		give("no kernel for virtual machines is cached: %v", err)
	}
	return strings.Join(strings.SplitN(list[0].Release, ".", 3)[:2], ".")
}

// children lists the processes that a process started.
func children(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var list []int
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue // it ended meanwhile
		}
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if p, err := strconv.Atoi(f[1]); err == nil && p == pid {
			n, err := strconv.Atoi(filepath.Base(filepath.Dir(s)))
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, n)
		}
	}
	return list
}

// However a run with virtual machines ends, they end with it and leave nothing;
// Ctrl-C during the search still gives a result.
func TestGuestsEndWithTheirRun(t *testing.T) {
	version := needGuests(t)
	in := object(t, twoPrograms)
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		at     string // what standard error says first
		output bool
	}{
		{"interrupt while it starts", syscall.SIGINT, "starting Linux", false},
		{"interrupt in the search", syscall.SIGINT, "slots", true},
		{"kill", syscall.SIGKILL, "slots", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := command(t, "optimize", in, "-o", filepath.Join(dir, "out.o"), "--kernels", version, "-O3", "--chain", "1", "--budget", "10m", "--no-measure")
			cmd.Env = append(cmd.Env, "TMPDIR="+dir)
			errs, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stop := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() })
			defer stop.Stop()
			said, sent := "", false
			var machines []int
			for s := bufio.NewScanner(errs); s.Scan(); {
				said += s.Text() + "\n"
				if !sent && strings.Contains(s.Text(), c.at) {
					// The machine comes a moment after its announcement.
					for len(machines) == 0 {
						machines = children(t, cmd.Process.Pid)
					}
					cmd.Process.Signal(c.signal)
					sent = true
				}
			}
			err = cmd.Wait()
			if !sent || c.output != (err == nil) {
				t.Fatalf("sent %v, %v: %s", sent, err, said)
			}
			eventually(t, "machines", func() string {
				left := ""
				for _, p := range machines {
					if syscall.Kill(p, 0) == nil {
						left += fmt.Sprint(p, " ")
					}
				}
				return left
			})
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			hidden, err2 := filepath.Glob(filepath.Join(dir, ".*"))
			want := 0
			if c.output {
				want = 3
			}
			if err != nil || err2 != nil || len(files)+len(hidden) != want {
				t.Errorf("left: %v %v, want %d files: %s", files, hidden, want, said)
			}
		})
	}
}

// Programs that the running kernel may not allow are another kernel's to judge:
// one alone, with what only it can tell (types, functions to attach to).
func TestGuestAloneJudges(t *testing.T) {
	version := needGuests(t)
	in := object(t, header+`
struct task_struct { int pid; char comm[16]; } __attribute__((preserve_access_index));
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
SEC("fentry/do_unlinkat") int enter(unsigned long long *ctx) {
	struct task_struct *t = (void *)bpf_get_current_task_btf();
	__u32 pid = t->pid;
	__u64 one = 1, *v = bpf_map_lookup_elem(&counts, &pid);
	if (v)
		*v += 1;
	else
		bpf_map_update_elem(&counts, &pid, &one, 0);
	return 0;
}
SEC("lsm/file_open") int guard(unsigned long long *ctx) {
	__u32 k = 9;
	__u64 *v = bpf_map_lookup_elem(&counts, &k);
	volatile char pad[16] = {0};
	return v && *v * 8 > 80 ? -1 : 0;
}`, "-O1", "-mcpu=v2")
	out := filepath.Join(t.TempDir(), "out.o")
	text, msg, code := run(t, "optimize", in, "-o", out, "--kernels", version, "-O1", "--no-measure", "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, text, msg)
	}
	var r jsonResult
	if err := json.Unmarshal([]byte(text), &r); err != nil || len(r.Programs) != 2 {
		t.Fatalf("%v: %s", err, text)
	}
	for _, p := range r.Programs {
		if !p.Accepted || p.XlatedAfter == 0 {
			t.Errorf("%+v", p)
		}
	}
	if f := r.Functions[1]; f.SlotsAfter >= f.SlotsBefore {
		t.Errorf("%+v", f)
	}
}
