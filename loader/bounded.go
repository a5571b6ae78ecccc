package loader

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// loadLimit bounds one load where Kernel.Limit does not say otherwise: the
// kernel's own limit of a million instructions processed takes a few seconds,
// but does not count what it does for loops.
const loadLimit = 30 * time.Second

// errSlow is returned for a load that took longer than its limit.
var errSlow = errors.New("the verifier did not finish")

// interruptible runs f, which is in a system call most of the time, on a thread
// of its own. When ctx ends or the limit passes, stopped becomes true and the
// thread gets signals until f returns: the verifier looks for them.
func interruptible(ctx context.Context, limit time.Duration, f func(stopped func() bool)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := unix.Gettid()
	done := make(chan struct{})
	var why atomic.Pointer[error]
	interrupt := func(err error) {
		why.CompareAndSwap(nil, &err)
		for {
			// SIGURG is what Go's runtime uses on its own threads.
			unix.Tgkill(unix.Getpid(), thread, unix.SIGURG)
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	timer := time.AfterFunc(limit, func() { interrupt(fmt.Errorf("%w within %v", errSlow, limit)) })
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { interrupt(ctx.Err()) })()
	f(func() bool { return why.Load() != nil })
	close(done)
	if err := why.Load(); err != nil {
		return *err
	}
	return nil
}

// within runs f until it ends, ctx ends or the limit passes. The library repeats
// what a signal interrupts, so that the kernel gives its loads up only when the
// process ends: f then goes on alone, and drop gets its result.
func within[T any](ctx context.Context, limit time.Duration, f func() T, drop func(T)) (T, error) {
	ch := make(chan T, 1)
	go func() { ch <- f() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var err error
	select {
	case v := <-ch:
		return v, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = fmt.Errorf("%w within %v and goes on, with a processor of its own, until it ends or this process does", errSlow, limit)
	}
	go func() { drop(<-ch) }()
	var none T
	return none, err
}
