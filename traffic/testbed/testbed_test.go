package testbed

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
	"github.com/vishvananda/netlink"
)

func TestPairLivesInItsNamespaceOnly(t *testing.T) {
	kerneltest.Require(t)
	n, err := NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	p, err := n.NewPair(true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := netlink.LinkByName(p.Left); err == nil {
		t.Errorf("%s is visible outside the namespace", p.Left)
	}
	if err := n.Do(func() error { _, err := netlink.LinkByName(p.Right); return err }); err != nil {
		t.Errorf("%s is not in the namespace: %v", p.Right, err)
	}
	for _, mode := range []loader.XDPMode{loader.XDPNative, loader.XDPGeneric} {
		prog := kerneltest.XDPReturn(t, 2)
		a, err := n.Attach(p.Left, prog.FD(), mode)
		if err != nil {
			t.Fatalf("attach in %v mode: %v", mode, err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("detach in %v mode: %v", mode, err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Do(func() error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("Do after Close: %v", err)
	}
}

// A second attachment puts the first program back when it is closed.
func TestAttachRestores(t *testing.T) {
	kerneltest.Require(t)
	n, err := NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	p, err := n.NewPair(true)
	if err != nil {
		t.Fatal(err)
	}
	attached := func() (id uint32) {
		t.Helper()
		if err := n.Do(func() error {
			l, err := netlink.LinkByName(p.Left)
			if err == nil && l.Attrs().Xdp != nil {
				id = l.Attrs().Xdp.ProgId
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	first, second := kerneltest.XDPReturn(t, 2), kerneltest.XDPReturn(t, 1)
	a, err := n.Attach(p.Left, first.FD(), loader.XDPGeneric)
	if err != nil {
		t.Fatal(err)
	}
	before := attached()
	b, err := n.Attach(p.Left, second.FD(), loader.XDPNative)
	if err != nil {
		t.Fatal(err)
	}
	if now := attached(); now == before {
		t.Error("the second program did not replace the first")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if now := attached(); now != before {
		t.Errorf("program %d is attached after Close, want %d", now, before)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if now := attached(); now != 0 {
		t.Errorf("program %d is attached after both were closed", now)
	}
}

// A tied program goes with its descriptor, Close or not; beside a program of
// somebody else, netlink takes over.
func TestTiedAttachment(t *testing.T) {
	kerneltest.Require(t)
	n, err := NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	p, err := n.NewPair(true)
	if err != nil {
		t.Fatal(err)
	}
	err = n.Do(func() error {
		program := func() uint32 {
			l, err := netlink.LinkByName(p.Left)
			if err != nil || l.Attrs().Xdp == nil {
				return 0
			}
			return l.Attrs().Xdp.ProgId
		}
		one, two := kerneltest.XDPReturn(t, 1), kerneltest.XDPReturn(t, 2)
		o := loader.XDPOptions{Mode: loader.XDPNative, Tied: true}
		a, err := loader.AttachXDP(p.Left, one.FD(), o)
		if err != nil {
			return err
		}
		if got := program(); got != one.ID(t) {
			t.Errorf("program %d is attached, want %d", got, one.ID(t))
		}
		if err := a.Replace(two.FD()); err != nil {
			return err
		}
		if got := program(); got != two.ID(t) {
			t.Errorf("program %d is attached after Replace, want %d", got, two.ID(t))
		}
		if err := a.Close(); err != nil {
			return err
		}
		if got := program(); got != 0 {
			t.Errorf("program %d is attached after Close", got)
		}
		before, err := loader.AttachXDP(p.Left, one.FD(), loader.XDPOptions{Mode: loader.XDPNative})
		if err != nil {
			return err
		}
		defer before.Close()
		if a, err = loader.AttachXDP(p.Left, two.FD(), o); err != nil {
			return err
		}
		if err := a.Close(); err != nil {
			return err
		}
		if got := program(); got != one.ID(t) {
			t.Errorf("program %d is attached, want the one before, %d", got, one.ID(t))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDefaultRouteIsRefused(t *testing.T) {
	kerneltest.Require(t)
	n, err := NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	p, err := n.NewPair(true)
	if err != nil {
		t.Fatal(err)
	}
	prog := kerneltest.XDPReturn(t, 2)
	_, everywhere, _ := net.ParseCIDR("0.0.0.0/0")
	err = n.Do(func() error {
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: p.LeftIndex, Scope: netlink.SCOPE_LINK, Dst: everywhere}); err != nil {
			return err
		}
		a, err := loader.AttachXDP(p.Left, prog.FD(), loader.XDPOptions{Mode: loader.XDPGeneric})
		if !errors.Is(err, loader.ErrDefaultRoute) {
			a.Close()
			return fmt.Errorf("attach gave %v, want ErrDefaultRoute", err)
		}
		a, err = loader.AttachXDP(p.Left, prog.FD(), loader.XDPOptions{Mode: loader.XDPGeneric, Force: true})
		if err != nil {
			return err
		}
		return a.Close()
	})
	if err != nil {
		t.Error(err)
	}
}

const childEnv = "SUPERBPF_TESTBED_CHILD"

// A killed process leaves no interface, program or namespace behind.
func TestKillLeavesNothing(t *testing.T) {
	kerneltest.Require(t)
	if os.Getenv(childEnv) != "" {
		n, err := NewNamespace()
		if err != nil {
			t.Fatal(err)
		}
		p, err := n.NewPair(true)
		if err != nil {
			t.Fatal(err)
		}
		prog := kerneltest.XDPReturn(t, 2)
		if _, err := n.Attach(p.Left, prog.FD(), loader.XDPNative); err != nil {
			t.Fatal(err)
		}
		var inode string
		n.Do(func() error { inode, err = os.Readlink("/proc/thread-self/ns/net"); return err })
		fmt.Printf("ready %s %d\n", inode, prog.ID(t))
		time.Sleep(time.Minute)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillLeavesNothing$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var inode string
	var id uint32
	for s := bufio.NewScanner(out); s.Scan(); {
		if strings.HasPrefix(s.Text(), "ready ") {
			fmt.Sscanf(s.Text(), "ready %s %d", &inode, &id)
			break
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if inode == "" {
		t.Fatal("the child did not come up")
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := ""
		if kerneltest.ProgExists(id) {
			left = fmt.Sprintf("program %d", id)
		}
		if namespaceInUse(inode) {
			left += " namespace " + inode
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %s", left)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// namespaceInUse looks for a process or thread in the namespace.
func namespaceInUse(link string) bool {
	tasks, _ := os.ReadDir("/proc")
	for _, p := range tasks {
		threads, _ := os.ReadDir("/proc/" + p.Name() + "/task")
		for _, th := range threads {
			if got, _ := os.Readlink("/proc/" + p.Name() + "/task/" + th.Name() + "/ns/net"); got == link {
				return true
			}
		}
	}
	return false
}
