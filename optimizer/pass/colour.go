package pass

import (
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// maxBacktracks bounds the choices that one colouring takes back.
const maxBacktracks = 2000

// colouring assigns a register of allowed to every web that was not merged into
// another: the web with the fewest choices left first (DSATUR), the register
// that it shares with the other side of a copy, then the one that it has, tried
// before others, and what leads nowhere taken back.
type colouring struct {
	*allocation
	allowed isa.RegSet
	reg     []isa.Reg // none where not chosen yet
	blocked [][isa.NumRegs]int
	copies  [][]int // indices of moves
	degree  []int
	budget  int
}

const none = isa.Reg(0xff)

// colour returns a register for each web, or nil if it finds no assignment.
func (a *allocation) colour(allowed isa.RegSet) []isa.Reg {
	c := &colouring{allocation: a, allowed: allowed, reg: make([]isa.Reg, len(a.own)),
		blocked: make([][isa.NumRegs]int, len(a.own)), copies: make([][]int, len(a.own)), degree: make([]int, len(a.own)), budget: maxBacktracks}
	open := 0
	for i := range a.own {
		c.reg[i] = none
		for _, word := range a.near[i] {
			c.degree[i] += bits.OnesCount64(word)
		}
		for x := range isa.FP {
			if a.forbid[i].Has(x) {
				c.blocked[i][x]++
			}
		}
	}
	for m := range a.moves {
		i, j := a.find(a.moves[m].from), a.find(a.moves[m].to)
		c.copies[i], c.copies[j] = append(c.copies[i], m), append(c.copies[j], m)
	}
	for i := range a.own {
		if a.find(i) != i {
			continue
		}
		if !a.fixed[i] {
			open++
			continue
		}
		if c.blocked[i][a.own[i]] > 0 {
			return nil // two webs that the machine wants in one register
		}
		c.set(i, a.own[i])
	}
	if !c.choose(open) {
		return nil
	}
	for i := range c.reg {
		c.reg[i] = c.reg[a.find(i)]
	}
	return c.reg
}

func (c *colouring) set(i int, x isa.Reg) {
	c.reg[i] = x
	c.around(i, x, 1)
}

func (c *colouring) unset(i int) {
	c.around(i, c.reg[i], -1)
	c.reg[i] = none
}

func (c *colouring) around(i int, x isa.Reg, by int) {
	for k, word := range c.near[i] {
		for word != 0 {
			j := 64*k + bits.TrailingZeros64(word)
			word &= word - 1
			c.blocked[j][x] += by
		}
	}
}

// choose gives registers to the open webs that are left.
func (c *colouring) choose(open int) bool {
	if open == 0 {
		return true
	}
	next, fewest, degree := -1, int(isa.NumRegs)+1, -1
	for i := range c.reg {
		if c.reg[i] != none || c.into[i] != i {
			continue
		}
		left := 0
		for x := range isa.FP {
			if c.allowed.Has(x) && c.blocked[i][x] == 0 {
				left++
			}
		}
		if left > fewest {
			continue
		}
		if left < fewest || c.degree[i] > degree {
			next, fewest, degree = i, left, c.degree[i]
		}
	}
	if fewest == 0 {
		return false
	}
	var tried isa.RegSet
	for range fewest {
		x := c.best(next, tried)
		tried = tried.With(x)
		c.set(next, x)
		if c.choose(open - 1) {
			return true
		}
		c.unset(next)
		if c.budget--; c.budget < 0 {
			return false
		}
	}
	return false
}

// best is the most welcome register for web i that is not in tried.
func (c *colouring) best(i int, tried isa.RegSet) isa.Reg {
	var score [isa.NumRegs]float64
	for _, m := range c.copies[i] {
		other := c.find(c.moves[m].from)
		if other == i {
			other = c.find(c.moves[m].to)
		}
		if other != i && c.reg[other] != none {
			score[c.reg[other]] += 1 + c.moves[m].weight
		}
	}
	if c.own[i] != none {
		score[c.own[i]] += 0.5
	}
	best := none
	for x := range isa.FP {
		if !c.allowed.Has(x) || c.blocked[i][x] > 0 || tried.Has(x) {
			continue
		}
		if best == none || score[x] > score[best] {
			best = x
		}
	}
	return best
}
