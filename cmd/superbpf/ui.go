package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/optimizer/pipeline"
)

type reportBuffer = bytes.Buffer

// exactArgs is cobra.ExactArgs with the usage exit code.
func exactArgs(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return fail(exitUsage, "want %d arguments, got %d; usage: %s", n, len(args), c.UseLine())
		}
		return nil
	}
}

// progress shows what is being done: one line kept up to date on a terminal,
// otherwise a line every ten seconds and one at the end of each function.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	tty   bool
	last  time.Time
	start time.Time
	shown bool
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, start: time.Now()}
	if f, ok := w.(*os.File); ok {
		p.tty = isatty.IsTerminal(f.Fd())
	}
	return p
}

func (p *progress) event(e pipeline.Event) {
	p.line(fmt.Sprintf("%s: %d -> %d slots, %.1f ns, %s", e.Function, e.SlotsStart, e.Slots, e.Nanos, e.Step), e.Done)
}

// line shows what is being done, unless something was shown just before; done
// marks an end that is worth a line of its own.
func (p *progress) line(text string, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	every := 10 * time.Second
	if p.tty {
		every = 100 * time.Millisecond
	}
	since := p.last
	if since.IsZero() {
		since = p.start
	}
	if now.Sub(since) < every && !(done && p.shown) {
		return
	}
	p.last = now
	text = fmt.Sprintf("%s, %.0fs", text, now.Sub(p.start).Seconds())
	if p.tty {
		fmt.Fprintf(p.w, "\r\033[K%s", text)
	} else {
		fmt.Fprintln(p.w, text)
	}
	p.shown = true
}

func (p *progress) finish() {
	if p.tty && p.shown {
		fmt.Fprint(p.w, "\r\033[K")
	}
}

// wait says what is being done when that takes longer than two seconds: on a
// terminal one line kept up to date, elsewhere a line every ten seconds.
type wait struct {
	*progress
}

func newWait(w io.Writer) wait { return wait{newProgress(w)} }

func (p wait) say(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	every := 10 * time.Second
	if p.tty {
		every = 100 * time.Millisecond
	}
	if now.Sub(p.start) < 2*time.Second || now.Sub(p.last) < every {
		return
	}
	p.last, p.shown = now, true
	line := fmt.Sprintf("%s, %.0fs", what, now.Sub(p.start).Seconds())
	if p.tty {
		fmt.Fprintf(p.w, "\r\033[K%s", line)
	} else {
		fmt.Fprintln(p.w, line)
	}
}
