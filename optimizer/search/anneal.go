package search

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/steps"
)

// Chain is the Markov chain as a transform: walks with different settings go
// over each window at the same time.
type Chain struct {
	Settings  []Settings
	Validator *equiv.Validator // computes values
	Model     *cost.Model
	Objective cost.Objective
	MCPU      int
	Seed      uint64
	// Steps is the number of proposals of a walk; Rounds how often walks with
	// new seeds, over windows of other lengths, go over the function.
	Steps, Rounds int
	// Weights gives the expected executions of a function's instructions; nil:
	// once each. Windows that cost more come first.
	Weights func(f *prog.Func) []float64
	// Counters holds what became of the moves of all walks, in the order of the
	// table of moves, since they were last taken.
	Counters []pipeline.MoveStats
	// Ran counts instructions of candidates, once for each test state that they
	// were executed on.
	Ran int64

	last  *prog.Func // the function that the candidates are about
	found []candidate
	spans []span
	next  int // window to look at next
}

// span is a window's place.
type span struct {
	from, to, round int
	weight          float64
}

type candidate struct {
	span
	code []isa.Insn
	text string
}

// Name is the transform's name.
func (c *Chain) Name() string { return "chain" }

// Run offers, one at a time, cheaper windows that pass all tests.
func (c *Chain) Run(ctx context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []pipeline.Change) {
	if c.last == nil || !prog.SameCode(c.last, f) {
		c.last, c.found, c.next = f.Clone(), nil, 0
		c.spans = c.windows(f)
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

// lengths are the windows' lengths in instructions, round by round.
var lengths = []int{6, 4, 8, 10}

// windows lists the windows of all rounds: in each, the most costly first.
func (c *Chain) windows(f *prog.Func) []span {
	weights := make([]float64, len(f.Insns))
	if c.Weights != nil {
		copy(weights, c.Weights(f))
	} else {
		for k := range weights {
			weights[k] = 1
		}
	}
	g := prog.NewCFG(f)
	var out []span
	for round := range max(1, c.Rounds) {
		length := lengths[round%len(lengths)]
		var list []span
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
					s := span{from: from, to: min(from+length, end), round: round}
					for i := s.from; i < s.to; i++ {
						s.weight += weights[i] * c.Model.One(&f.Insns[i])
					}
					list = append(list, s)
					if from+length >= end {
						break
					}
				}
				k = end
			}
		}
		slices.SortStableFunc(list, func(a, b span) int { return cmp.Compare(b.weight, a.weight) })
		out = append(out, list...)
	}
	return out
}

// testBlocksOfWindow is how many blocks of test states a window has.
const testBlocksOfWindow = 2

// ranPerStep is how many instructions of candidates are executed on a test state
// in the time of a step, proposedPerStep how many proposals are made and refused
// without being run.
const (
	ranPerStep      = 5
	proposedPerStep = 3
)

// search walks over the next window; false when there is none left.
func (c *Chain) search(ctx context.Context, f *prog.Func) bool {
	if c.next >= len(c.spans) || ctx.Err() != nil {
		return false
	}
	s := c.spans[c.next]
	c.next++
	v, err := c.Validator.Values(ctx, f)
	if err != nil {
		return false
	}
	r := rand.New(rand.NewPCG(c.Seed, uint64(c.next)))
	w := newWindow(f, v, prog.NewLiveness(prog.NewCFG(f)), s.from, s.to, testBlocksOfWindow, r)
	if w == nil || len(w.code) < 2 {
		return true
	}
	walks := make([]*chain, len(c.Settings))
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i := range walks {
		walks[i] = &chain{Chain: c, w: w.fork(), s: &c.Settings[i], r: rand.New(rand.NewPCG(c.Seed+uint64(i), uint64(c.next)))}
		limit <- struct{}{}
		wait.Go(func() {
			defer func() { <-limit }()
			walks[i].walk(ctx)
		})
	}
	wait.Wait()
	ran, proposed := c.Ran, 0
	var best *chain
	for _, x := range walks {
		c.Ran += x.w.ran
		for m := range moves {
			c.count(m, &x.counts[m])
			proposed += x.counts[m].Proposed
		}
		if x.best != nil && (best == nil || x.bestPerf < best.bestPerf-1e-9) {
			best = x
		}
	}
	steps.Spend(ctx, (c.Ran-ran)/ranPerStep+int64(proposed)/proposedPerStep)
	if best != nil {
		c.found = append(c.found, candidate{s, best.best,
			fmt.Sprintf("window of %d instructions at %d by chain %s", len(w.code), s.from, best.s.Name)})
	}
	return true
}

// count adds what became of a move of a walk.
func (c *Chain) count(m int, n *pipeline.MoveStats) {
	if c.Counters == nil {
		for _, m := range moves {
			c.Counters = append(c.Counters, pipeline.MoveStats{Move: m.name})
		}
	}
	c.Counters[m].Add(n)
}

// TakeMoves returns the counters and starts new ones.
func (c *Chain) TakeMoves() []pipeline.MoveStats {
	n := c.Counters
	c.Counters = nil
	return n
}

// chain is one walk.
type chain struct {
	*Chain
	w        *window
	s        *Settings
	r        *rand.Rand
	ops      []isa.Op
	price    []float64            // of one instruction, by operation
	counts   []pipeline.MoveStats // by move
	best     []isa.Insn
	bestPerf float64
}

// prices fills in what an instruction costs under the objective, in comparable
// units.
func (c *chain) prices() {
	c.price = make([]float64, isa.NumOps())
	for op := range c.price {
		in := prog.New(isa.Insn{Op: isa.Op(op)})
		if row := in.Row(); in.Op == isa.Nop || row.Kind == isa.KindInvalid {
			continue
		}
		slots, ns := float64(in.Slots()), c.Model.One(&in)
		c.price[op] = slots + ns/8
		if c.Objective == cost.Latency {
			c.price[op] = 20*ns + slots/8
		}
	}
}

func (c *chain) perf(code []isa.Insn) float64 {
	sum := 0.0
	for k := range code {
		sum += c.price[code[k].Op]
	}
	return sum
}

// walk runs the chain and leaves the cheapest program without error that is
// cheaper than the window.
func (c *chain) walk(ctx context.Context) {
	c.prices()
	c.counts = make([]pipeline.MoveStats, len(moves))
	stores := false
	for k := range c.w.code {
		stores = stores || c.w.code[k].Row().Kind == isa.KindStore
	}
	c.ops = candidates(c.MCPU, c.w.bases != 0, stores)
	cur := slices.Clone(c.w.code)
	next := make([]isa.Insn, len(cur))
	start := c.perf(cur)
	c.bestPerf = start
	curErr, curPerf := 0.0, start
	for step := range c.Steps {
		if step&1023 == 0 && ctx.Err() != nil {
			break
		}
		copy(next, cur)
		m := c.pick(c.r)
		ct := &c.counts[m]
		ct.Proposed++
		if !moves[m].do(c, next) {
			ct.Void++
			continue
		}
		if !c.w.valid(next) {
			ct.Registers++
			continue
		}
		// The bound is drawn first, so that a losing candidate stops early
		// (as in STOKE).
		perf := c.perf(next)
		bound := c.s.Alpha*curErr + c.s.Beta*curPerf - math.Log(1-c.r.Float64())
		limit := (bound - c.s.Beta*perf) / c.s.Alpha
		if limit < 0 {
			ct.Price++
			continue
		}
		e := c.w.errorOf(next, c.s, limit)
		if e > limit {
			ct.Tests++
			continue
		}
		ct.Taken++
		cur, next = next, cur
		curErr, curPerf = e, perf
		if e == 0 && perf < c.bestPerf-1e-9 {
			c.bestPerf = perf
			c.best = append(c.best[:0], cur...)
			ct.Better++
		}
	}
}
