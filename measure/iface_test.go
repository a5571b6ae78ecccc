package measure

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// send keeps frames coming to an interface of the namespace until stopped.
func send(t *testing.T, ns *testbed.Namespace, ifindex int) (stop func()) {
	t.Helper()
	var f *os.File
	if err := ns.Do(func() (err error) { f, err = os.Open("/proc/thread-self/ns/net"); return err }); err != nil {
		t.Fatal(err)
	}
	rig, err := newLiveRig(ns, somePacket)
	if err != nil {
		t.Fatal(err)
	}
	if err := rig.aim(ifindex); err != nil {
		t.Fatal(err)
	}
	var stopped atomic.Bool
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		for !stopped.Load() {
			var r loader.TestRun
			rig.prepare(&r, 0, somePacket[0], 4*liveBatch)
			if err := r.Run(); err != nil {
				done <- err
				return
			}
			time.Sleep(200 * time.Microsecond)
		}
		done <- nil
	}()
	return func() {
		stopped.Store(true)
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.Close()
		rig.close()
	}
}

func TestOnInterface(t *testing.T) {
	kerneltest.Require(t)
	ns, err := testbed.NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	p, err := ns.NewPair(true)
	if err != nil {
		t.Fatal(err)
	}
	quiet, err := ns.NewPair(false)
	if err != nil {
		t.Fatal(err)
	}
	measure := func(iface string) (r *InterfaceResult, err error) {
		err = ns.Do(func() error {
			r, err = OnInterface(context.Background(), dropping("base", 20), []Subject{dropping("slow", 1000)},
				InterfaceOptions{Iface: iface, Slice: 30 * time.Millisecond, Rounds: 5, Seed: 1})
			return err
		})
		return r, err
	}
	if _, err := measure(quiet.Right); !errors.Is(err, ErrNoTraffic) {
		t.Errorf("without traffic: %v", err)
	}
	// The receiving end must hold a program before frames can be sent to it.
	keep := kerneltest.XDPReturn(t, 1)
	a, err := ns.Attach(p.Right, keep.FD(), loader.XDPNative)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	stop := send(t, ns, p.LeftIndex)
	r, err := measure(p.Right)
	stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d packets, Mpps %.2f, control %+v, rivals %+v %s", r.Mode, r.Packets, r.Mpps, r.Control, r.Rivals, r.Reason)
	if r.Packets == 0 || r.Mode != "native" || len(r.Mpps) != 3 {
		t.Errorf("%+v", r)
	}
	if r.Reason == "" && r.Rivals[0].Verdict == Faster {
		t.Error("ten times the work is called faster")
	}
	// What was there before is there again.
	if err := ns.Do(func() error {
		list, err := loader.Interfaces()
		for _, i := range list {
			if i.Name == p.Right && i.Program != keep.ID(t) {
				t.Errorf("program %d is attached, want %d", i.Program, keep.ID(t))
			}
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
