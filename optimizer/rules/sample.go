package rules

import (
	"go/ast"
	"go/token"
	"math/rand/v2"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/search"
	"github.com/superbpf/superbpf/optimizer/slice"
)

// sample draws immediates and gives both sides with them; ok is false when
// the draw did not meet the conditions.
func (r *Rule) sample(rnd *rand.Rand) (from, to slice.Term, ok bool) {
	from, to, _, ok = r.draw(rnd)
	return from, to, ok
}

// draw is sample with the immediates drawn.
func (r *Rule) draw(rnd *rand.Rand) (from, to slice.Term, v values, ok bool) {
	v = make(values, maxVars)
	for i := range r.From.Nodes {
		n := &r.From.Nodes[i]
		if !n.HasImm() {
			continue
		}
		if k := r.imms[n.Imm].variable(); k >= 0 && k < maxVars && v[k] == nil {
			x := drawImm(rnd, isa.RowOf(n.Op))
			if n.IsMemory() {
				x = drawOffset(rnd)
			}
			v[k] = &x
		}
	}
	// What a condition gives by an equation is not drawn.
	for _, c := range r.conds {
		b, isBin := c.ast.(*ast.BinaryExpr)
		if !isBin || b.Op != token.EQL {
			continue
		}
		if k := (expr{ast: b.X}).variable(); k >= 0 && k < maxVars {
			if x, err := eval(b.Y, number[int64](v)); err == nil {
				v[k] = &x
			}
		}
	}
	for _, c := range r.conds {
		if x, err := eval(c.ast, number[int64](v)); err != nil || x == 0 {
			return from, to, v, false
		}
	}
	from = slice.Term{Inputs: r.From.Inputs, Root: r.From.Root}
	for _, n := range r.From.Nodes {
		if n.HasImm() {
			x, err := eval(r.imms[n.Imm].ast, number[int64](v))
			if err != nil || !encodable(&n, x) {
				return from, to, v, false
			}
			n.Imm = x
		}
		from.Nodes = append(from.Nodes, n)
	}
	to, ok = r.right(v)
	return from, to, v, ok
}

// drawOffset draws an offset: most are small.
func drawOffset(r *rand.Rand) int64 {
	if r.IntN(4) == 0 {
		return int64(int16(r.Uint32()))
	}
	return int64(r.IntN(160)) - 64
}

func drawImm(r *rand.Rand, row *isa.Row) int64 {
	if isShift(row) {
		if r.IntN(2) == 0 {
			return int64(8 * r.IntN(int(row.Width)/8))
		}
		return int64(r.IntN(int(row.Width)))
	}
	switch r.IntN(6) {
	case 0:
		return int64(r.IntN(64))
	case 1:
		return -int64(r.IntN(64))
	case 2:
		return 1 << r.IntN(31)
	case 3:
		return 1<<r.IntN(31) - 1
	case 4:
		return -1 << r.IntN(31)
	}
	return int64(int32(r.Uint32()))
}

// fewest is how many values an immediate must be able to take to be worth a
// variable.
const fewest = 4

// holds tests the rule on random immediates and inputs. Draws that meet the
// conditions must be found, and give each variable a number of values.
func (r *Rule) holds(rnd *rand.Rand) bool {
	vars := r.variables()
	taken := make([]map[int64]bool, maxVars)
	for _, k := range vars {
		taken[k] = map[int64]bool{}
	}
	n := 0
	for try := 0; try < 4000 && n < 60; try++ {
		from, to, v, ok := r.draw(rnd)
		if !ok {
			continue
		}
		if !r.problem(from).Agrees(&to) {
			return false
		}
		if n++; len(vars) == 0 {
			return true
		}
		for _, k := range vars {
			taken[k][*v[k]] = true
		}
	}
	for _, k := range vars {
		if len(taken[k]) < fewest {
			return false
		}
	}
	return n > 0
}

// variables lists the variables of the left side.
func (r *Rule) variables() []int {
	seen := map[int]bool{}
	var out []int
	for i := range r.From.Nodes {
		if n := &r.From.Nodes[i]; n.HasImm() {
			if k := r.imms[n.Imm].variable(); k >= 0 && !seen[k] {
				seen[k] = true
				out = append(out, k)
			}
		}
	}
	return out
}

func (r *Rule) problem(from slice.Term) *search.Problem {
	p := &search.Problem{Term: from, Mask: r.Bits, Slots: len(from.Nodes)}
	for i := range from.Inputs {
		p.Facts = append(p.Facts, slice.Fact{Zeros: r.Zeros[i], Ones: r.Ones[i]})
	}
	return p
}
