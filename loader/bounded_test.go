package loader

import (
	"context"
	"errors"
	"testing"
	"time"
)

// What ends in time gives its result; what does not is left behind, and its
// result is dropped and not lost.
func TestWithin(t *testing.T) {
	if v, err := within(context.Background(), time.Hour, func() int { return 7 }, nil); v != 7 || err != nil {
		t.Errorf("undisturbed: %d, %v", v, err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for want, c := range map[error]struct {
		ctx   context.Context
		limit time.Duration
	}{errSlow: {context.Background(), time.Millisecond}, context.Canceled: {cancelled, time.Hour}} {
		release, dropped := make(chan struct{}), make(chan int)
		_, err := within(c.ctx, c.limit, func() int { <-release; return 8 }, func(v int) { dropped <- v })
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		close(release)
		if v := <-dropped; v != 8 {
			t.Errorf("dropped %d", v)
		}
	}
}
