package loader

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// loadLimit bounds one load: the kernel's own limit of a million instructions
// processed takes a few seconds, but does not count what it does for loops.
const loadLimit = 30 * time.Second

// errSlow is returned for a load that took longer than its limit.
var errSlow = errors.New("the verifier did not finish")

// within runs f until it ends, ctx ends or the limit passes. The kernel gives a
// load up only when its thread dies, since the library repeats what a signal
// interrupts; so f then goes on alone, and drop gets its result.
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
		err = fmt.Errorf("%w within %v", errSlow, limit)
	}
	go func() { drop(<-ch) }()
	var none T
	return none, err
}
