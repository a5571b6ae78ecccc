package testbed

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"

	"github.com/superbpf/superbpf/loader"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrClosed is returned by a namespace after Close.
var ErrClosed = errors.New("testbed: the namespace is closed")

// Namespace is a private network namespace with one thread in it, pinned to a
// CPU. It has no name and no mount: when its thread ends, by Close or with the
// process, the kernel frees it with every interface, route and program in it.
type Namespace struct {
	// CPU is the one that the thread is pinned to.
	CPU int

	work chan func()
	done chan struct{}
	// settled is closed when the thread is chosen.
	settled chan struct{}
	once    sync.Once
	// ownSys: the thread has a /sys of its own.
	ownSys bool
}

// NewNamespace makes a namespace whose loopback is up.
func NewNamespace() (*Namespace, error) {
	n := &Namespace{work: make(chan func()), done: make(chan struct{}), settled: make(chan struct{})}
	ready := make(chan error)
	go n.run(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("testbed: %w", err)
	}
	return n, nil
}

func (n *Namespace) run(ready chan<- error) {
	// The thread is never unlocked: Go then ends it together with the
	// goroutine instead of giving it, with its namespace, to other work.
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The process's main thread cannot end before the process does. While
		// it is locked here, the next goroutine runs on another.
		go n.run(ready)
		<-n.settled
		runtime.UnlockOSThread()
		return
	}
	close(n.settled)
	defer close(n.done)
	err := unix.Unshare(unix.CLONE_NEWNET)
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("a network namespace needs root: %w", err)
	}
	if err == nil {
		// The undo function is left uncalled: the thread ends pinned.
		n.CPU, _, err = loader.PinThread()
	}
	if err == nil {
		err = loopbackUp()
	}
	ready <- err
	if err != nil {
		return
	}
	for f := range n.work {
		f()
	}
}

// Do runs f on the namespace's thread and returns its error. Calls from several
// goroutines run one after another; f must not call Do.
func (n *Namespace) Do(f func() error) (err error) {
	defer func() {
		if recover() != nil { // the channel was closed
			err = ErrClosed
		}
	}()
	finished := make(chan error, 1)
	n.work <- func() {
		defer func() {
			if r := recover(); r != nil {
				finished <- fmt.Errorf("testbed: panic in the namespace's thread: %v", r)
			}
		}()
		finished <- f()
	}
	return <-finished
}

// Close ends the thread and so the namespace. It waits for a running Do.
func (n *Namespace) Close() error {
	if n == nil {
		return nil
	}
	n.once.Do(func() { close(n.work) })
	<-n.done
	return nil
}

// EveryAddressIsLocal has the calling thread's namespace take every IPv4 and IPv6
// address for its own, so that its sockets may use any.
func EveryAddressIsLocal() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("testbed: %w", err)
	}
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		_, dst, err := net.ParseCIDR(all)
		if err != nil {
			return err
		}
		r := &netlink.Route{LinkIndex: lo.Attrs().Index, Dst: dst, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST}
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("testbed: local route %s: %w", all, err)
		}
	}
	return nil
}
