package guest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/superbpf/superbpf/loader"
)

const (
	// loadTime bounds one load. The verifier's limit of a million instructions
	// takes an emulated processor some tens of seconds.
	loadTime = 150 * time.Second
	// answerTime is how long an answer may take: one that does not come in this
	// time ends the machine.
	answerTime = loadTime + 30*time.Second
)

// Guest is a kernel in a virtual machine.
type Guest struct {
	// Type is as in loader.Kernel; set it before loading.
	Type string

	img *Image

	mu     sync.Mutex
	m      *machine
	id     uint64
	forget bool
	closed bool
}

// Start boots a kernel. Close ends it.
func Start(ctx context.Context, img *Image) (*Guest, error) {
	m, err := boot(ctx, img)
	if err != nil {
		return nil, err
	}
	return &Guest{img: img, m: m}, nil
}

// Release is the kernel's release.
func (g *Guest) Release() string { return g.m.hello.Release }

// Level is the newest instruction set level that the kernel loads, 1 to 4.
func (g *Guest) Level() int { return g.m.hello.Level }

// Forget frees the maps of the objects that were loaded so far, with the next
// load.
func (g *Guest) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget = true
}

// Close ends the machine.
func (g *Guest) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		g.m.kill()
	}
	return nil
}

// errGone says that the machine ended while it was asked.
var errGone = errors.New("the virtual machine ended")

// Load asks the guest's verifier about a program of an object, as
// loader.Kernel.Load does. If the machine ends it is started anew, once. An
// error means that no verdict was had.
func (g *Guest) Load(ctx context.Context, object []byte, program string) (*loader.LoadResult, error) {
	return g.load(ctx, loader.Prepare(object, program, g.Type), request{Object: object, Program: program, Type: g.Type})
}

// LoadUnset is loader.Kernel.LoadUnset.
func (g *Guest) LoadUnset(ctx context.Context, object []byte, program string) (*loader.LoadResult, error) {
	p, has := loader.PrepareUnset(object, program, g.Type)
	if !has {
		return nil, nil
	}
	return g.load(ctx, p, request{Object: object, Program: program, Type: g.Type, Unset: true})
}

// LoadWhole is Load with all that the object holds, always.
func (g *Guest) LoadWhole(ctx context.Context, object []byte, program string) (*loader.LoadResult, error) {
	return g.load(ctx, nil, request{Object: object, Program: program, Type: g.Type})
}

// load asks about a prepared program, if there is one, or the whole.
func (g *Guest) load(ctx context.Context, p *loader.Prepared, whole request) (*loader.LoadResult, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for try := 0; ; try++ {
		if g.closed {
			return nil, errors.New("the virtual machine was closed")
		}
		var r *loader.LoadResult
		err := errWhole
		if p != nil {
			r, err = g.ask(ctx, request{Prepared: p})
		}
		if errors.Is(err, errWhole) {
			r, err = g.ask(ctx, whole)
		}
		if err == nil || !errors.Is(err, errGone) {
			return r, err
		}
		last := g.m.console.last()
		g.m.kill()
		if try > 0 {
			return nil, fmt.Errorf("the virtual machine of Linux %s ended twice while loading %s; its last words: %s", g.img.Release, whole.Program, last)
		}
		m, err := boot(ctx, g.img)
		if err != nil {
			return nil, err
		}
		g.m = m
	}
}

// errWhole says that a prepared program's object must be loaded first.
var errWhole = errors.New("the virtual machine does not know the program's maps")

// ask sends one request and waits for its answer.
func (g *Guest) ask(ctx context.Context, q request) (*loader.LoadResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g.id++
	g.m.conn.SetWriteDeadline(time.Now().Add(answerTime))
	q.ID, q.Forget = g.id, g.forget
	if err := g.m.out.Encode(q); err != nil {
		return nil, errGone
	}
	g.forget = false
	limit := time.NewTimer(answerTime)
	defer limit.Stop()
	for {
		select {
		case r := <-g.m.answers:
			switch {
			case r.ID != g.id: // one that nobody waited for
			case r.Err != "":
				return nil, errors.New(r.Err)
			case r.Whole:
				return nil, errWhole
			default:
				return r.Result, nil
			}
		case <-g.m.dead:
			return nil, errGone
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-limit.C:
			// A verifier this slow is no use to a user either.
			g.m.kill()
			m, err := boot(ctx, g.img)
			if err != nil {
				return nil, err
			}
			g.m = m
			return &loader.LoadResult{Reason: loader.Reason{Kind: loader.ReasonComplexity, Line: fmt.Sprintf("no verdict within %v", answerTime), Slot: -1, Register: -1}, Slot: -1}, nil
		}
	}
}
