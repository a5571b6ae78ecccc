package cost

import (
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Probabilities that Guess gives to branches, and how often a loop is taken to
// run. The first four are about branches of programs that see real traffic:
// checks against the packet's end pass, lookups find something, and code that
// returns at once handles what is unusual.
const (
	pEarlyExit = 0.15
	pNull      = 0.2
	pEqual     = 0.4
	pLoopExit  = 0.125
	loopRuns   = 1 / pLoopExit
	maxGuess   = 1e5
)

// Guess estimates how often each instruction runs in one run of f from the
// shape of the code alone; the entry counts 1.
func Guess(f *prog.Func) []float64 {
	g := prog.NewCFG(f)
	heads := g.LoopHeads()
	freq := make([]float64, len(g.Blocks))
	freq[0] = 1
	for _, b := range g.Order {
		if heads[b] {
			freq[b] = min(freq[b]*loopRuns, maxGuess)
		}
		blk := &g.Blocks[b]
		p := make([]float64, len(blk.Succs))
		for i := range p {
			p[i] = 1 / float64(len(p))
		}
		if len(p) == 2 {
			p[1] = guessTaken(g, b)
			p[0] = 1 - p[1]
		}
		for i, s := range blk.Succs {
			if g.Pos[s] > g.Pos[b] {
				freq[s] = min(freq[s]+freq[b]*p[i], maxGuess)
			}
		}
	}
	w := make([]float64, len(f.Insns))
	for k := range w {
		w[k] = freq[g.BlockOf[k]]
	}
	return w
}

// guessTaken is the probability that the branch at the end of block b, which
// has two successors, goes to its target.
func guessTaken(g *prog.CFG, b int) float64 {
	stay, to := g.Blocks[b].Succs[0], g.Blocks[b].Succs[1]
	back := func(s int) bool { return g.Pos[s] <= g.Pos[b] }
	if back(stay) != back(to) {
		if back(to) {
			return 1 - pLoopExit
		}
		return pLoopExit
	}
	in := &g.Func.Insns[g.Blocks[b].To-1]
	row := in.Row()
	if row.Imm && in.Imm == 0 && in.Dst == isa.R0 && afterCall(g, b) {
		switch row.Fn {
		case isa.FnJeq:
			return pNull
		case isa.FnJne:
			return 1 - pNull
		}
	}
	if e, o := early(g, to), early(g, stay); e != o {
		if e {
			return pEarlyExit
		}
		return 1 - pEarlyExit
	}
	switch row.Fn {
	case isa.FnJeq:
		return pEqual
	case isa.FnJne:
		return 1 - pEqual
	}
	return 0.5
}

// afterCall: the last instruction before the branch that sets R0 is a call.
func afterCall(g *prog.CFG, b int) bool {
	for k := g.Blocks[b].To - 2; k >= g.Blocks[b].From; k-- {
		if in := &g.Func.Insns[k]; in.Def().Has(isa.R0) {
			return in.IsCall()
		}
	}
	return false
}

// early: the block returns at once, or jumps to one that does.
func early(g *prog.CFG, b int) bool {
	for range 2 {
		blk := &g.Blocks[b]
		if blk.To-blk.From > 3 {
			return false
		}
		if g.Func.Insns[blk.To-1].Row().Kind == isa.KindExit {
			return true
		}
		if len(blk.Succs) != 1 {
			return false
		}
		b = blk.Succs[0]
	}
	return false
}

// Carry maps the weights of an input function's instructions onto f, which was
// made of it, through the instructions' origins; those of bodies that took the place
// of calls have the weights in prog.Inlined. An instruction without one
// runs as often as the one before it. Code that several places came to share
// runs as often as control gets there, and no code more often. Where code was
// duplicated, its copies share what the original ran: a copy on one side of a
// branch gets what the other side leaves.
func Carry(input []float64, f *prog.Func) []float64 {
	g := prog.NewCFG(f)
	heads := g.LoopHeads()
	freq := make([]float64, len(g.Blocks))
	only, own := ownCode(g)
	for b := range g.Blocks {
		freq[b] = -1
		for k := g.Blocks[b].From; k < g.Blocks[b].To; k++ {
			if o := f.Insns[k].Origin; !own[b] || only[o] == b {
				freq[b] = max(freq[b], originRuns(input, f, o))
			}
		}
	}
	for _, b := range g.Order {
		if b == 0 {
			if len(input) > 0 {
				freq[b] = max(freq[b], input[0])
			}
			continue
		}
		least, most := 0.0, 0.0
		for _, p := range g.Blocks[b].Preds {
			if g.Pos[p] < 0 || g.Pos[p] >= g.Pos[b] {
				continue
			}
			most += freq[p]
			if len(g.Blocks[p].Succs) == 1 {
				least += freq[p]
			}
		}
		if freq[b] < 0 {
			freq[b] = most
		}
		if s := sibling(g, b); s >= 0 && !own[b] && own[s] {
			freq[b] = max(0, min(freq[b], most-freq[s]))
		}
		freq[b] = max(freq[b], least)
		if !heads[b] {
			freq[b] = min(freq[b], most)
		}
	}
	w := make([]float64, len(f.Insns))
	for k := range w {
		w[k] = max(0, freq[g.BlockOf[k]])
	}
	return w
}

// originRuns is how often the code of an origin runs, -1 if that is not known: in an
// inlined body as often as in a call, times the calls.
func originRuns(input []float64, f *prog.Func, origin int) float64 {
	if origin >= 0 && origin < len(input) {
		return input[origin]
	}
	i, k, ok := f.InlinedAt(origin)
	if !ok || k >= len(i.Runs) {
		return -1
	}
	calls := originRuns(input, f, i.Call)
	if calls < 0 {
		return -1
	}
	return min(calls*i.Runs[k], maxGuess)
}

// ownCode gives for each origin the block that alone has it, -1 if several do,
// and tells the blocks that have one for themselves.
func ownCode(g *prog.CFG) (only map[int]int, own []bool) {
	only = map[int]int{}
	for k := range g.Func.Insns {
		o, b := g.Func.Insns[k].Origin, g.BlockOf[k]
		if was, ok := only[o]; ok && was != b {
			b = -1
		}
		only[o] = b
	}
	own = make([]bool, len(g.Blocks))
	for o, b := range only {
		if o >= 0 && b >= 0 {
			own[b] = true
		}
	}
	return only, own
}

// sibling is the other side of the only branch that leads to block b, if
// nothing else leads there either; else -1.
func sibling(g *prog.CFG, b int) int {
	if len(g.Blocks[b].Preds) != 1 {
		return -1
	}
	succs := g.Blocks[g.Blocks[b].Preds[0]].Succs
	if len(succs) != 2 {
		return -1
	}
	s := succs[0]
	if s == b {
		s = succs[1]
	}
	if s == b || len(g.Blocks[s].Preds) != 1 {
		return -1
	}
	return s
}
