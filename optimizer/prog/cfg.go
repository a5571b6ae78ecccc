package prog

import (
	"slices"
)

// Block is a basic block: instructions [From,To) of the function.
type Block struct {
	From, To     int
	Succs, Preds []int // block numbers; the fall-through successor first
}

// CFG is the control flow graph of a function. Block 0 is the entry.
type CFG struct {
	Func   *Func
	Blocks []Block
	// BlockOf gives the block of each instruction.
	BlockOf []int
	// Order is a reverse post-order of the reachable blocks.
	Order []int
	// Pos is a block's place in Order, -1 when it is unreachable.
	Pos []int
	// Idom is a block's immediate dominator; the entry's is itself, an
	// unreachable block's is -1.
	Idom []int
}

// NewCFG builds the graph of f, which must satisfy Check.
func NewCFG(f *Func) *CFG {
	n := len(f.Insns)
	leader := make([]bool, n+1)
	leader[0] = true
	for k := range f.Insns {
		in := &f.Insns[k]
		if in.Target >= 0 {
			leader[in.Target] = true
			leader[k+1] = true
		} else if in.EndsBlock() {
			leader[k+1] = true
		}
	}
	g := &CFG{Func: f, BlockOf: make([]int, n)}
	for k := 0; k < n; k++ {
		if leader[k] {
			g.Blocks = append(g.Blocks, Block{From: k})
		}
		b := len(g.Blocks) - 1
		g.BlockOf[k] = b
		g.Blocks[b].To = k + 1
	}
	for b := range g.Blocks {
		for _, s := range Succs(f, g.Blocks[b].To-1) {
			t := g.BlockOf[s]
			if !slices.Contains(g.Blocks[b].Succs, t) {
				g.Blocks[b].Succs = append(g.Blocks[b].Succs, t)
				g.Blocks[t].Preds = append(g.Blocks[t].Preds, b)
			}
		}
	}
	g.order()
	g.dominators()
	return g
}

// Succs lists the instructions that control may reach from instruction k: the
// next one first, then the target.
func Succs(f *Func, k int) []int {
	in := &f.Insns[k]
	var s []int
	if !in.EndsBlock() && k+1 < len(f.Insns) {
		s = append(s, k+1)
	}
	if in.Target >= 0 && !slices.Contains(s, in.Target) {
		s = append(s, in.Target)
	}
	return s
}

func (g *CFG) order() {
	g.Pos = make([]int, len(g.Blocks))
	seen := make([]bool, len(g.Blocks))
	var post []int
	type frame struct{ b, next int }
	stack := []frame{{0, 0}}
	seen[0] = true
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		if f.next < len(g.Blocks[f.b].Succs) {
			s := g.Blocks[f.b].Succs[f.next]
			f.next++
			if !seen[s] {
				seen[s] = true
				stack = append(stack, frame{s, 0})
			}
			continue
		}
		post = append(post, f.b)
		stack = stack[:len(stack)-1]
	}
	slices.Reverse(post)
	g.Order = post
	for b := range g.Pos {
		g.Pos[b] = -1
	}
	for i, b := range post {
		g.Pos[b] = i
	}
}

// dominators is the algorithm of Cooper, Harvey and Kennedy, "A Simple, Fast
// Dominance Algorithm" (2001).
func (g *CFG) dominators() {
	g.Idom = make([]int, len(g.Blocks))
	for b := range g.Idom {
		g.Idom[b] = -1
	}
	g.Idom[0] = 0
	for changed := true; changed; {
		changed = false
		for _, b := range g.Order[1:] {
			d := -1
			for _, p := range g.Blocks[b].Preds {
				if g.Idom[p] < 0 {
					continue
				}
				if d < 0 {
					d = p
					continue
				}
				x, y := p, d
				for x != y {
					for g.Pos[x] > g.Pos[y] {
						x = g.Idom[x]
					}
					for g.Pos[y] > g.Pos[x] {
						y = g.Idom[y]
					}
				}
				d = x
			}
			if d != g.Idom[b] {
				g.Idom[b] = d
				changed = true
			}
		}
	}
}

// Dominates reports whether block a dominates block b.
func (g *CFG) Dominates(a, b int) bool {
	if g.Pos[a] < 0 || g.Pos[b] < 0 {
		return false
	}
	for g.Pos[b] > g.Pos[a] {
		b = g.Idom[b]
	}
	return a == b
}

// Reachable reports whether control can reach instruction k.
func (g *CFG) Reachable(k int) bool { return g.Pos[g.BlockOf[k]] >= 0 }

// LoopHeads returns the blocks that a back edge (in the reverse post-order)
// goes to. Every cycle passes through one.
func (g *CFG) LoopHeads() []bool {
	heads := make([]bool, len(g.Blocks))
	for _, b := range g.Order {
		for _, s := range g.Blocks[b].Succs {
			if g.Pos[s] <= g.Pos[b] {
				heads[s] = true
			}
		}
	}
	return heads
}
