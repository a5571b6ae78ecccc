package measure

import (
	"context"
	"errors"
	"fmt"
)

// Exit codes of a comparison, for commands.
const (
	ExitSame      = 0 // b behaves like a and is not slower
	ExitSlower    = 4
	ExitDifferent = 5
)

// CompareOptions steer Compare.
type CompareOptions struct {
	// Differ's inputs are the packets that both must treat alike.
	Differ DifferOptions
	// Latency's inputs are the packets that are timed; none means no timing.
	Latency LatencyOptions
}

// Comparison is what Compare found.
type Comparison struct {
	A       string         `json:"a"`
	B       string         `json:"b"`
	Differ  *DifferReport  `json:"differ,omitempty"`
	Latency *LatencyResult `json:"latency,omitempty"`
	// Unmeasured says why there is no timing or no differential check.
	Unmeasured string `json:"unmeasured,omitempty"`
}

// Compare checks that b behaves like a and then times both. Programs of types
// that the kernel does not test-run give a Comparison that says so, and no
// error.
func Compare(ctx context.Context, a, b Subject, o CompareOptions) (*Comparison, error) {
	c := &Comparison{A: a.Name, B: b.Name}
	var err error
	if len(o.Differ.Inputs) > 0 {
		c.Differ, err = Differ(ctx, a, b, o.Differ)
		if errors.Is(err, ErrNotMeasurable) {
			c.Differ, c.Unmeasured = nil, err.Error()
			return c, nil
		}
		if err != nil || c.Differ.Difference != nil {
			return c, err
		}
	}
	if len(o.Latency.Inputs) == 0 {
		return c, nil
	}
	c.Latency, err = Latency(ctx, a, []Subject{b}, o.Latency)
	if errors.Is(err, ErrNotMeasurable) {
		c.Unmeasured = err.Error()
		return c, nil
	}
	return c, err
}

// Verdict returns the verdict about b's time.
func (c *Comparison) Verdict() Verdict {
	if c.Latency == nil || len(c.Latency.Rivals) == 0 {
		return Void
	}
	return c.Latency.Rivals[0].Verdict
}

// ExitCode is ExitDifferent, ExitSlower or ExitSame.
func (c *Comparison) ExitCode() int {
	switch {
	case c.Differ != nil && c.Differ.Difference != nil:
		return ExitDifferent
	case c.Verdict() == Slower:
		return ExitSlower
	}
	return ExitSame
}

// String is a short account for people.
func (c *Comparison) String() string {
	s := ""
	if d := c.Differ; d != nil {
		if d.Difference != nil {
			return fmt.Sprintf("%s and %s behave differently: %v", c.A, c.B, d.Difference)
		}
		s = fmt.Sprintf("same behaviour on %d inputs (maps compared %d times; by %s)", d.Runs, d.MapDumps, d.Referee)
		for _, m := range d.Masked {
			s += "\n  not compared: " + m
		}
		s += "\n"
	}
	if c.Unmeasured != "" {
		return s + c.Unmeasured
	}
	if c.Latency == nil || len(c.Latency.Rivals) == 0 {
		return s + "not timed"
	}
	d := c.Latency.Rivals[0]
	s += fmt.Sprintf("%s: %.2f ns, %s: %.2f ns, change %+.2f ns (95 %%: %+.2f to %+.2f), %+.1f %%: %s",
		c.A, d.Base.Mid, c.B, d.Rival.Mid, d.Change.Mid, d.Change.Low, d.Change.High, d.Percent(), d.Verdict)
	if c.Latency.Reason != "" {
		s += " (" + c.Latency.Reason + ")"
	}
	if c.Latency.Crowded {
		s += "\n  this host has more XDP programs than the kernel calls directly: differences look smaller than they are"
	}
	if l := c.Latency; l.noisy() {
		s += fmt.Sprintf("\n  something else slowed this CPU down in %d of %d rounds: measure again on a quieter machine", l.Disturbed, l.Rounds)
	}
	if c.Latency.Shared {
		s += "\n  another measurement ran on this host at the same time"
	}
	for _, n := range c.Latency.Counters {
		d := n.Rivals[0]
		s += fmt.Sprintf("\n  %s a run: %.2f -> %.2f, change %+.2f (%+.2f to %+.2f)", n.Name, d.Base.Mid, d.Rival.Mid, d.Change.Mid, d.Change.Low, d.Change.High)
	}
	for i, row := range c.Latency.ByInput {
		d := row[0]
		s += fmt.Sprintf("\n  %s: %.2f -> %.2f ns, change %+.2f (%+.2f to %+.2f): %s",
			c.Latency.Inputs[i], d.Base.Mid, d.Rival.Mid, d.Change.Mid, d.Change.Low, d.Change.High, d.Verdict)
	}
	return s
}
