package smt

import "math/bits"

// Term is a node of a Ctx. The zero Term is invalid.
type Term int32

// Op is a node's operation.
type Op uint8

// The operations of normal forms. And, Or and Xor take any number of
// arguments, sorted; Sum is K plus each argument times its coefficient.
const (
	OpInvalid Op = iota
	OpConst
	OpVar
	OpUF // uninterpreted function; width 0 makes an abstract token
	OpSum
	OpMul
	OpUDiv
	OpURem
	OpSDiv
	OpSRem
	OpAnd
	OpOr
	OpXor
	OpNot
	OpShl
	OpLShr
	OpAShr
	OpConcat  // Args[0] is the high part, Args[1] the low part
	OpExtract // of Args[0], Width bits from bit K
	OpSExt
	OpEq
	OpUlt
	OpSlt
	OpIte
)

// Node is what a Term stands for. Do not change one.
type Node struct {
	Op    Op
	Width uint8
	K     uint64
	Args  []Term
	Coef  []uint64 // of a Sum, beside Args
	Name  string

	zeros, ones uint64 // bits known to be 0, to be 1
}

// Options of a Ctx.
type Options struct {
	// Raw keeps terms as built: hash-consing and constant folding only.
	Raw bool
}

// Ctx owns terms. It is not safe for concurrent use.
type Ctx struct {
	opt   Options
	nodes nodes
	table []entry
	// Where arguments and coefficients of nodes lie: few large pieces of memory.
	args  []Term
	coefs []uint64
	room  []uint64 // for coefficients of a sum that is being made
	// work counts the terms looked up or made.
	work int64
	// slices remembers what Extract made, made what two-operand constructors made.
	slices, made memo
	guesses      []*guessed // see Guess; nil where nothing was guessed
}

// once remembers make's result. Terms share their parts, and a constructor may
// descend into both operands: without a memo that takes exponential time.
func (c *Ctx) once(op Op, a, b Term, make func() Term) Term {
	key := uint64(op)<<58 | uint64(a)<<29 | uint64(b)
	if t := c.made.get(key); t != 0 {
		return t
	}
	t := make()
	c.made.put(key, t)
	return t
}

// maxLen bounds the terms of a context, so that two and an operation fit in one
// word.
const maxLen = 1 << 29

func sliceKey(t Term, lo, n uint8) uint64 { return uint64(t)<<16 | uint64(lo)<<8 | uint64(n) }

// NewCtx makes an empty context.
func NewCtx(o Options) *Ctx {
	return &Ctx{opt: o, nodes: nodes{n: 1, pieces: []*[perPiece]Node{new([perPiece]Node)}}}
}

// Len is the number of terms made so far.
func (c *Ctx) Len() int { return c.nodes.n - 1 }

// Node returns what t stands for.
func (c *Ctx) Node(t Term) *Node { return &c.nodes.pieces[uint32(t)/perPiece][uint32(t)%perPiece] }

// Width returns t's width in bits; 0 for a token.
func (c *Ctx) Width(t Term) uint8 { return c.Node(t).Width }

// IsConst returns t's value if it is a constant.
func (c *Ctx) IsConst(t Term) (uint64, bool) {
	n := c.Node(t)
	return n.K, n.Op == OpConst
}

// Known returns the bits of t known to be 0 and known to be 1.
func (c *Ctx) Known(t Term) (zeros, ones uint64) { return c.Node(t).zeros, c.Node(t).ones }

func mask(w uint8) uint64 {
	if w >= 64 {
		return ^uint64(0)
	}
	return 1<<w - 1
}

// Work counts the terms that were looked up or made so far: a measure of what was
// done in this context that is the same on every machine.
func (c *Ctx) Work() int64 { return c.work }

// intern returns the term of n with those arguments, making it if it is new, and
// keeps neither them nor n's coefficients. n itself has no arguments: they would
// have to be on the heap then.
func (c *Ctx) intern(n Node, args ...Term) Term {
	c.work++
	h := n.hash(args)
	at, t := c.find(h, &n, args)
	if t != 0 {
		return t
	}
	t, m := c.nodes.add()
	*m = n
	m.Args, m.Coef = keep(&c.args, args), keep(&c.coefs, n.Coef)
	c.known(m)
	if n.Width > 0 && n.Op != OpConst && (m.zeros|m.ones) == mask(n.Width) && !c.opt.Raw {
		ones := m.ones
		c.nodes.n--
		return c.Const(ones, n.Width)
	}
	c.table[at] = entry{h, t}
	return t
}

// nodes is a list that grows without being copied.
type nodes struct {
	n      int
	pieces []*[perPiece]Node
}

const perPiece = 1 << 10

// add gives the number and the place of a new node.
func (l *nodes) add() (Term, *Node) {
	t := Term(l.n)
	if t == maxLen {
		panic("smt: too many terms")
	}
	if int(t/perPiece) == len(l.pieces) {
		l.pieces = append(l.pieces, new([perPiece]Node))
	}
	l.n++
	return t, &l.pieces[t/perPiece][t%perPiece]
}

// keep copies list to the end of a piece of memory, or of a new one.
func keep[T any](room *[]T, list []T) []T {
	const piece = 1 << 12
	n := len(list)
	if n == 0 {
		return nil
	}
	if cap(*room)-len(*room) < n {
		*room = make([]T, 0, max(piece, n))
	}
	*room = append(*room, list...)
	return (*room)[len(*room)-n : len(*room) : len(*room)]
}

// Const makes a constant of w bits.
func (c *Ctx) Const(v uint64, w uint8) Term {
	return c.intern(Node{Op: OpConst, Width: w, K: v & mask(w)})
}

// Bool makes a one-bit constant.
func (c *Ctx) Bool(b bool) Term {
	if b {
		return c.Const(1, 1)
	}
	return c.Const(0, 1)
}

// Var makes (or finds) the variable of that name and width.
func (c *Ctx) Var(name string, w uint8) Term {
	return c.intern(Node{Op: OpVar, Width: w, Name: name})
}

// UF applies an uninterpreted function. Equal names, widths and arguments give
// the same term; nothing else is known about it. Width 0 makes a token, which
// only serves as an argument.
func (c *Ctx) UF(name string, w uint8, args ...Term) Term {
	return c.intern(Node{Op: OpUF, Width: w, Name: name}, args...)
}

// known fills in the known bits.
func (c *Ctx) known(n *Node) {
	m := mask(n.Width)
	arg := func(i int) *Node { return c.Node(n.Args[i]) }
	switch n.Op {
	case OpConst:
		n.zeros, n.ones = ^n.K&m, n.K
	case OpAnd:
		n.ones = m
		for i := range n.Args {
			n.zeros |= arg(i).zeros
			n.ones &= arg(i).ones
		}
	case OpOr:
		n.zeros = m
		for i := range n.Args {
			n.zeros &= arg(i).zeros
			n.ones |= arg(i).ones
		}
	case OpXor:
		var ones uint64
		known := m
		for i := range n.Args {
			known &= arg(i).zeros | arg(i).ones
			ones ^= arg(i).ones
		}
		n.zeros, n.ones = known&^ones, known&ones
	case OpNot:
		n.zeros, n.ones = arg(0).ones, arg(0).zeros
	case OpConcat:
		lo := arg(1)
		n.zeros = arg(0).zeros<<lo.Width | lo.zeros
		n.ones = arg(0).ones<<lo.Width | lo.ones
	case OpExtract:
		n.zeros = arg(0).zeros >> n.K & m
		n.ones = arg(0).ones >> n.K & m
	case OpSExt:
		a := arg(0)
		high := m &^ mask(a.Width)
		n.zeros, n.ones = a.zeros, a.ones
		sign := uint64(1) << (a.Width - 1)
		if a.zeros&sign != 0 {
			n.zeros |= high
		} else if a.ones&sign != 0 {
			n.ones |= high
		}
	case OpIte:
		n.zeros = arg(1).zeros & arg(2).zeros
		n.ones = arg(1).ones & arg(2).ones
	case OpSum:
		c.knownSum(n, m)
	case OpURem:
		// The remainder is below a constant divisor; and never above the dividend.
		lz := bits.LeadingZeros64(arg(0).zeros ^ mask(arg(0).Width))
		if y := arg(1); y.Op == OpConst && y.K != 0 {
			lz = max(lz, bits.LeadingZeros64(y.K-1))
		}
		n.zeros = m &^ (^uint64(0) >> min(lz, 63))
	case OpUDiv:
		if arg(1).zeros != mask(arg(1).Width) && arg(1).ones != 0 {
			top := ^arg(0).zeros & mask(arg(0).Width)
			if y := arg(1); y.Op == OpConst {
				top /= y.K
			}
			n.zeros = m &^ (^uint64(0) >> min(bits.LeadingZeros64(top), 63))
		}
	case OpLShr:
		// Leading zeros stay zero.
		lz := bits.LeadingZeros64(arg(0).zeros ^ mask(arg(0).Width))
		n.zeros = m &^ (^uint64(0) >> min(lz, 63))
	}
	n.zeros &= m
	n.ones &= m
}

// knownSum adds up trailing known bits and an upper bound.
func (c *Ctx) knownSum(n *Node, m uint64) {
	// Low bits: all known up to the first unknown bit of any summand.
	low, val := 64, n.K
	for i, a := range n.Args {
		x := c.Node(a)
		tz := bits.TrailingZeros64(^(x.zeros | x.ones))
		tz += bits.TrailingZeros64(n.Coef[i])
		low = min(low, tz)
		val += n.Coef[i] * x.ones
	}
	lm := mask(uint8(min(low, 64)))
	n.zeros, n.ones = ^val&lm&m, val&lm&m
	// High bits: if the largest possible value does not overflow.
	hi, ok := n.K, true
	for i, a := range n.Args {
		x := c.Node(a)
		h, l := bits.Mul64(n.Coef[i], ^x.zeros&mask(x.Width))
		sum, carry := bits.Add64(hi, l, 0)
		ok = ok && h == 0 && carry == 0 && sum <= m
		hi = sum
	}
	if ok {
		n.zeros |= m &^ mask(uint8(bits.Len64(hi)))
	}
}
