// Package steps counts work, so that a budget ends at the same place on every
// machine and under every load. A context carries the budget; when it is spent the
// context is done, as it would be at a deadline. Packages that do work tell how
// much with Spend.
//
// A step is a fraction of a microsecond of one core: a term looked up or made in a
// proof, a vector of tests computed in an enumeration.
//
// Spend must not run beside other goroutines that look at the same context: what
// these have done by then depends on time.
package steps

import (
	"context"
	"errors"
	"sync/atomic"
)

// PerSecond is about how many steps a core makes in a second.
const PerSecond = 3_000_000

// ErrSpent is the cause of a context's end when its budget is spent.
var ErrSpent = errors.New("the budget of steps is spent")

type key struct{}

type budget struct {
	spent  atomic.Int64
	limit  int64
	cancel context.CancelCauseFunc
	outer  *budget
}

// With gives a context that is done after limit steps; zero: never, but they are
// counted. What is spent on it is spent on the budgets around it, too.
func With(ctx context.Context, limit int64) (context.Context, context.CancelFunc) {
	outer, _ := ctx.Value(key{}).(*budget)
	ctx, cancel := context.WithCancelCause(ctx)
	b := &budget{limit: limit, cancel: cancel, outer: outer}
	return context.WithValue(ctx, key{}, b), func() { cancel(context.Canceled) }
}

// Spend takes n steps from the budgets of ctx, if it has any.
func Spend(ctx context.Context, n int64) {
	b, _ := ctx.Value(key{}).(*budget)
	for ; b != nil; b = b.outer {
		if s := b.spent.Add(n); b.limit > 0 && s >= b.limit {
			b.cancel(ErrSpent)
		}
	}
}

// Spent is how many steps were taken from the innermost budget of ctx; zero if it
// has none.
func Spent(ctx context.Context) int64 {
	if b, _ := ctx.Value(key{}).(*budget); b != nil {
		return b.spent.Load()
	}
	return 0
}

// Left is how many steps the budgets of ctx have left, and whether any of them has
// a limit.
func Left(ctx context.Context) (left int64, limited bool) {
	b, _ := ctx.Value(key{}).(*budget)
	for ; b != nil; b = b.outer {
		if b.limit == 0 {
			continue
		}
		if n := max(0, b.limit-b.spent.Load()); !limited || n < left {
			left, limited = n, true
		}
	}
	return left, limited
}
