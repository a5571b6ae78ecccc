package steps

import (
	"context"
	"errors"
	"testing"
)

func TestSpend(t *testing.T) {
	Spend(context.Background(), 5) // nobody counts
	outer, stop := With(context.Background(), 10)
	defer stop()
	inner, stop2 := With(outer, 4)
	defer stop2()
	Spend(inner, 3)
	if inner.Err() != nil || Spent(outer) != 3 || Spent(inner) != 3 {
		t.Fatalf("after 3 steps: %v, outer %d, inner %d", inner.Err(), Spent(outer), Spent(inner))
	}
	if n, ok := Left(inner); n != 1 || !ok {
		t.Fatalf("%d left, %v", n, ok)
	}
	open, stop3 := With(inner, 0)
	defer stop3()
	if n, ok := Left(open); n != 1 || !ok {
		t.Fatalf("%d left within a budget of 1, %v", n, ok)
	}
	Spend(inner, 1)
	if !errors.Is(context.Cause(inner), ErrSpent) || outer.Err() != nil {
		t.Fatalf("after 4 steps: inner %v, outer %v", context.Cause(inner), outer.Err())
	}
	Spend(outer, 6)
	if !errors.Is(context.Cause(outer), ErrSpent) {
		t.Fatalf("outer after 10 steps: %v", context.Cause(outer))
	}
	if n, _ := Left(outer); n != 0 {
		t.Fatalf("%d left of nothing", n)
	}
}

func TestUnlimited(t *testing.T) {
	ctx, stop := With(context.Background(), 0)
	defer stop()
	Spend(ctx, 1<<40)
	if _, limited := Left(ctx); ctx.Err() != nil || limited || Spent(ctx) != 1<<40 {
		t.Fatalf("%v, %d spent", ctx.Err(), Spent(ctx))
	}
}
