package smt

// Guesses is the number of fixed assignments of values to variables and applications
// of functions.
const Guesses = 4

// Guess gives the values of t under those assignments: of equal terms they are equal,
// of others hardly ever. They tell what is not worth making a term for.
func (c *Ctx) Guess(t Term) *[Guesses]uint64 {
	for int(t/perPiece) >= len(c.guesses) {
		c.guesses = append(c.guesses, nil)
	}
	p := c.guesses[t/perPiece]
	if p == nil {
		p = new(guessed)
		c.guesses[t/perPiece] = p
	}
	v := &p.values[t%perPiece]
	if p.known[t%perPiece] {
		return v
	}
	p.known[t%perPiece] = true // before its parts, which are other terms
	n := c.Node(t)
	switch n.Op {
	case OpConst:
		for i := range v {
			v[i] = n.K
		}
	case OpVar, OpUF:
		for i := range v {
			h := scramble(uint64(t)<<2 | uint64(i))
			if i >= 2 { // and small ones
				h >>= h & 63
			}
			v[i] = h & mask(n.Width)
		}
	default:
		var few [4]*[Guesses]uint64
		args := few[:0]
		for _, a := range n.Args {
			args = append(args, c.Guess(a))
		}
		var room [4]uint64
		x := append(room[:0], make([]uint64, len(args))...)
		for i := range v {
			for j := range args {
				x[j] = args[j][i]
			}
			v[i] = c.apply(n, x)
		}
	}
	return v
}

// guessed is what was guessed of the terms of a piece.
type guessed struct {
	values [perPiece][Guesses]uint64
	known  [perPiece]bool
}
