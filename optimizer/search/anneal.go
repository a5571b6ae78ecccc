package search

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Counter says how often a move was proposed, taken, and led to a better
// program.
type Counter struct{ Proposed, Taken, Better int }

// Chain is the Markov chain as a transform.
type Chain struct {
	Settings  Settings
	Validator *equiv.Validator // computes values
	Model     *cost.Model
	Objective cost.Objective
	MCPU      int
	Seed      uint64
	// Steps is the number of proposals for each window; Restarts how often a
	// walk begins again from the input.
	Steps, Restarts int
	// Length is the longest window, in instructions; 0: 6.
	Length int
	// Counters by move name.
	Counters map[string]*Counter

	last  *prog.Func // the function that the candidates are about
	found []candidate
	next  int // window to look at next
}

type candidate struct {
	from, to int
	code     []isa.Insn
	text     string
}

// Name is the transform's name.
func (c *Chain) Name() string { return "chain" }

// Run offers, one at a time, cheaper windows that pass all tests.
func (c *Chain) Run(ctx context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []pipeline.Change) {
	if c.last == nil || !prog.SameCode(c.last, f) {
		c.last, c.found, c.next = f.Clone(), nil, 0
	}
	for site := 0; ; site++ {
		for site >= len(c.found) {
			if !c.search(ctx, f) {
				return nil, nil
			}
		}
		x := c.found[site]
		if !allow(site) {
			continue
		}
		g := f.Clone()
		var repl []prog.Insn
		for k, in := range x.code {
			if in.Op == isa.Nop {
				continue
			}
			p := prog.New(in)
			p.Origin = f.Insns[min(x.from+k, x.to-1)].Origin
			repl = append(repl, p)
		}
		if err := g.Splice(x.from, x.to, repl); err != nil {
			return nil, nil
		}
		return g, []pipeline.Change{{At: x.from, Text: x.text}}
	}
}

// search walks the next window; false when there is none left.
func (c *Chain) search(ctx context.Context, f *prog.Func) bool {
	g := prog.NewCFG(f)
	var spans [][2]int
	length := c.Length
	if length == 0 {
		length = 6
	}
	for _, b := range g.Order {
		blk := g.Blocks[b]
		for k := blk.From; k < blk.To; {
			if !fit(&f.Insns[k]) {
				k++
				continue
			}
			end := k
			for end < blk.To && fit(&f.Insns[end]) {
				end++
			}
			for from := k; from+1 < end; from += max(1, length/2) {
				spans = append(spans, [2]int{from, min(from+length, end)})
				if from+length >= end {
					break
				}
			}
			k = end
		}
	}
	if c.next >= len(spans) || ctx.Err() != nil {
		return false
	}
	span := spans[c.next]
	c.next++
	v, err := c.Validator.Values(ctx, f)
	if err != nil {
		return false
	}
	r := rand.New(rand.NewPCG(c.Seed, uint64(c.next)))
	w := newWindow(f, v, prog.NewLiveness(g), span[0], span[1], 24, r)
	if w == nil || len(w.code) < 2 {
		return true
	}
	for range max(1, c.Restarts) {
		ch := &chain{Chain: c, w: w, s: &c.Settings, r: r}
		if best, ok := ch.walk(ctx); ok {
			c.found = append(c.found, candidate{span[0], span[1], best,
				fmt.Sprintf("window of %d instructions at %d by chain %s", len(w.code), span[0], c.Settings.Name)})
			break
		}
	}
	return true
}

// chain is one walk.
type chain struct {
	*Chain
	w   *window
	s   *Settings
	r   *rand.Rand
	ops []isa.Op
}

// perf is the cost of code under the objective, in comparable units.
func (c *chain) perf(code []isa.Insn) float64 {
	slots, ns := 0.0, 0.0
	for k := range code {
		p := prog.New(code[k])
		slots += float64(p.Slots())
		if p.Op != isa.Nop {
			ns += c.Model.One(&p)
		}
	}
	if c.Objective == cost.Latency {
		return 20*ns + slots/8
	}
	return slots + ns/8
}

// walk runs the chain and returns the cheapest program without error that is
// cheaper than the window.
func (c *chain) walk(ctx context.Context) ([]isa.Insn, bool) {
	stores := false
	for k := range c.w.code {
		stores = stores || c.w.code[k].Row().Kind == isa.KindStore
	}
	c.ops = candidates(c.MCPU, c.w.bases != 0, stores)
	n := len(c.w.code)
	cur := append([]isa.Insn(nil), c.w.code...)
	next := make([]isa.Insn, n)
	start := c.perf(cur)
	bestPerf := start
	var best []isa.Insn
	curErr, curPerf := 0.0, start
	cost := func(e, p float64) float64 { return c.s.Alpha*e + c.s.Beta*p }
	for step := range c.Steps {
		if step&1023 == 0 && ctx.Err() != nil {
			break
		}
		copy(next, cur)
		m := c.pick(c.r)
		if !moves[m].do(c, next) || !c.w.valid(next) {
			continue
		}
		ct := c.counter(moves[m].name)
		ct.Proposed++
		// The bound is drawn first, so that a losing candidate stops early
		// (as in STOKE).
		perf := c.perf(next)
		bound := cost(curErr, curPerf) - math.Log(1-c.r.Float64())
		limit := (bound - c.s.Beta*perf) / c.s.Alpha
		if limit < 0 {
			continue
		}
		e := c.w.errorOf(next, c.s, limit)
		if e > limit {
			continue
		}
		ct.Taken++
		cur, next = next, cur
		curErr, curPerf = e, perf
		if e == 0 && perf < bestPerf-1e-9 {
			bestPerf = perf
			best = append(best[:0], cur...)
			ct.Better++
		}
	}
	return best, best != nil
}

func (c *chain) counter(name string) *Counter {
	if c.Counters == nil {
		c.Counters = map[string]*Counter{}
	}
	if c.Counters[name] == nil {
		c.Counters[name] = new(Counter)
	}
	return c.Counters[name]
}
