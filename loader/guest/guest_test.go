package guest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/superbpf/superbpf/loader"
)

// parentEnv makes the test binary start a machine, tell its process and wait.
const parentEnv = "SUPERBPF_TEST_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentEnv); dir != "" {
		initDir = dir
		g, err := startAny()
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(g.m.process.Pid)
		time.Sleep(time.Hour)
	}
	os.Exit(m.Run())
}

func startAny() (*Guest, error) {
	version := "6.12"
	if list, err := Cached(); err == nil && len(list) > 0 {
		version = strings.Join(strings.SplitN(list[0].Release, ".", 3)[:2], ".")
	}
	img, err := Resolve(context.Background(), version, nil)
	if err != nil {
		return nil, err
	}
	return Start(context.Background(), img)
}

// need skips a test that starts machines unless a kernel for them is at hand;
// SUPERBPF_GUESTS=1 fetches one and makes every lack a failure.
func need(t testing.TB) {
	t.Helper()
	must := os.Getenv("SUPERBPF_GUESTS") == "1"
	give := t.Skipf
	if must {
		give = t.Fatalf
	}
	if initDir == "" {
		dir, err := os.MkdirTemp("", "superbpf-guest-*")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir); initDir = "" })
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, initName), "../../cmd/"+initName)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		initDir = dir
	}
	if err := Available(); err != nil {
		give("no virtual machines here: %v", err)
	}
	if list, err := Cached(); !must && (err != nil || len(list) == 0) {
		t.Skip("no kernel for virtual machines is cached: SUPERBPF_GUESTS=1 fetches one")
	}
}

func sample(t testing.TB, code string) []byte {
	t.Helper()
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		if clang, err = exec.LookPath("clang"); err != nil {
			t.Skip("clang is missing")
		}
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, "x.c"), filepath.Join(dir, "x.o")
	if err := os.WriteFile(src, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command(clang, "-target", "bpf", "-g", "-O2", "-mcpu=v2", "-c", src, "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Reads a field of task_struct wherever this kernel has it: CO-RE must use the
// guest's types, since "comm" lies elsewhere in each kernel.
const program = `
struct task_struct { int pid; char comm[16]; } __attribute__((preserve_access_index));
static void *(*current)(void) = (void *)35;
static long (*read_kernel)(void *, unsigned, const void *) = (void *)113;
int counter;
__attribute__((section("raw_tracepoint/sched_switch"))) int good(void *ctx) {
	char c[4];
	struct task_struct *t = current();
	read_kernel(c, sizeof c, &t->comm);
	counter += c[0];
	return 0;
}
__attribute__((section("socket"))) int bad(void *ctx) {
	return *(int *)(*(long *)ctx + 8);
}
const volatile int on;
__attribute__((section("socket"))) int off(void *ctx) {
	return on ? *(int *)(*(long *)ctx + 8) : 0;
}
char _license[] __attribute__((section("license"))) = "GPL";
`

func check(t *testing.T, g *Guest, raw []byte) {
	t.Helper()
	r, err := g.Load(context.Background(), raw, "good")
	if err != nil || !r.Accepted || r.XlatedBytes == 0 || r.Stats.Insns == 0 {
		t.Fatalf("good: %+v, %v", r, err)
	}
	r, err = g.Load(context.Background(), raw, "bad")
	if err != nil || r.Accepted || r.Reason.Kind != loader.ReasonContext || r.Function != "bad" || r.Slot != 0 {
		t.Fatalf("bad: %+v, %v", r, err)
	}
	for program, want := range map[string]string{"good": "", "off": "off"} {
		r, err := g.LoadUnset(context.Background(), raw, program)
		if err != nil || (r == nil) != (want == "") || r != nil && (r.Accepted || r.Function != want) {
			t.Fatalf("%s, constants unknown: %+v, %v", program, r, err)
		}
		if r, err := g.Load(context.Background(), raw, program); err != nil || !r.Accepted {
			t.Fatalf("%s: %+v, %v", program, r, err)
		}
	}
}

func TestGuest(t *testing.T) {
	need(t)
	raw := sample(t, program)
	g, err := startAny()
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if g.Level() < 3 || g.Release() == loader.Release() {
		t.Errorf("release %s, level %d", g.Release(), g.Level())
	}
	check(t, g, raw)
	if r, err := g.Load(context.Background(), raw, "none"); err == nil && (r.Accepted || r.Reason.Kind != loader.ReasonObject) {
		t.Errorf("a program that is not there: %+v", r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := g.Load(ctx, raw, "good"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	// A machine that ends is started anew.
	first := g.m.process.Pid
	g.m.process.Kill()
	<-g.m.dead
	check(t, g, raw)
	if alive(first) || g.m.process.Pid == first {
		t.Error("the first machine is still there")
	}
	g.Forget()
	check(t, g, raw)
	last := g.m.process.Pid
	g.Close()
	if alive(last) {
		t.Error("the machine outlives its end")
	}
	if _, err := g.Load(context.Background(), raw, "good"); err == nil {
		t.Error("a closed machine answers")
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// Nothing is left when the process that started a machine is killed.
func TestMachineEndsWithItsParent(t *testing.T) {
	need(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), parentEnv+"="+initDir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(line, err)
	}
	if !alive(pid) {
		t.Fatal("no machine")
	}
	cmd.Process.Kill()
	cmd.Wait()
	for range 600 {
		if !alive(pid) {
			return
		}
		// An orphan stays until it is waited for: a zombie is as good as gone.
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	t.Error("the machine outlives its parent")
}
