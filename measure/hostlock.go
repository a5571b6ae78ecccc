package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
)

// Limits of what a session waits for: another session on this host, and programs
// of an earlier one that the kernel still frees.
const (
	lockWait  = time.Minute
	crowdWait = 5 * time.Second
	waitStep  = 20 * time.Millisecond
)

// lockPlaces are folders that every Linux has. A lock on one leaves nothing
// behind, and the kernel releases it however the process ends.
var lockPlaces = []string{"/sys/fs/bpf", "/sys/kernel"}

// lockHost keeps sessions on a host apart: they would contend for caches and for
// the XDP dispatcher's places. A session that waited for lockWait goes on all the
// same; alone says whether it has the host for itself.
func lockHost(ctx context.Context) (release func() error, alone bool, err error) {
	var f *os.File
	for _, p := range lockPlaces {
		if f, err = os.Open(p); err == nil {
			break
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("lock the host's measurements: %w", err)
	}
	for end := time.Now().Add(lockWait); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return f.Close, true, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, false, errors.Join(fmt.Errorf("lock the host's measurements: %w", err), f.Close())
		case time.Now().After(end):
			return f.Close, false, nil
		}
		select {
		case <-ctx.Done():
			return nil, false, errors.Join(ctx.Err(), f.Close())
		case <-time.After(waitStep):
		}
	}
}

// dispatcherPlaces is how many XDP programs the kernel calls directly; it calls the
// others through a pointer, which with mitigations costs some 10 ns and keeps the
// CPU from running ahead: differences between programs then look smaller.
const dispatcherPlaces = 48

// uncrowd waits until this host's XDP programs fit into the dispatcher together
// with more to come, and reports whether they do. Programs that are loaded count,
// attached or not: the kernel does not tell.
func uncrowd(ctx context.Context, more int) (bool, error) {
	for end := time.Now().Add(crowdWait); ; {
		n, err := loader.ProgramsOfType(xdpType)
		if err != nil {
			return false, err
		}
		if n+more < dispatcherPlaces {
			return true, nil
		}
		if time.Now().After(end) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(waitStep):
		}
	}
}
