package equiv

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/steps"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// local proves a replacement that changes few places. Where the code is the
// same and both functions are in the same state, they stay so: only windows
// around the changes are run. A window starts where the two are in one state,
// with all that is known of p there, and ends where they are again: live
// registers, the frame, memory and calls are equal. A pointer may be a constant
// apart in the two, which instructions that read it then have to make up for.
type local struct {
	s    *sim
	vals *Values
	// mate is the instruction of the other function that one corresponds to,
	// -1 if there is none.
	mateOfP, mateOfQ []int
	heads            []bool // of P, by instruction

	seen    map[place]bool
	todo    []place
	arrived []place // ends of the window at hand

	windows int
	failed  []int
	reason  string
	lost    int64 // steps spent on windows that were not proved

	// Bytes of the frame that the two leave different where p reads them no more;
	// live are those that p may read before each instruction, once asked for.
	differ      FrameBytes
	differMore  bool
	frameBefore []FrameBytes
}

// place is a pair of points where the two functions are in one state, but for
// registers that are more in the second by what ahead says, and those of the second
// that hold something else: what the first reads there no more.
type place struct {
	at, qt int
	ahead  [isa.NumRegs]int64
	holds  [isa.NumRegs]smt.Term
}

// maxRounds bounds how often the windows are run again because frames differ in more
// places.
const maxRounds = 6

// maxPlaces bounds the places of one proof, in those that each instruction has.
const maxPlaces = 4

// errApart: the two are not in one state at the points where paths stopped.
type errApart struct {
	at, qt int
	why    string
}

func (e errApart) Error() string { return e.why }

// proveLocally is a proof by windows. places are the instructions of p where
// those windows start that could not be proved; nil with no Equal: p has no
// values, or too much was changed.
func (v *Validator) proveLocally(ctx context.Context, p, q *prog.Func) (r Result, places []int) {
	l, r := v.locally(ctx, p, q)
	if l == nil {
		return r, nil
	}
	r, places, _ = l.run(ctx, false)
	return r, places
}

// locally prepares a proof by windows; nil where there can be none.
func (v *Validator) locally(ctx context.Context, p, q *prog.Func) (*local, Result) {
	mate, ok := align(p, q)
	if !ok || v.opt.NoCuts {
		return nil, Result{}
	}
	vals, err := v.Values(ctx, p)
	if err != nil {
		return nil, Result{Reason: err.Error()}
	}
	l := &local{vals: vals, mateOfP: mate, seen: map[place]bool{}}
	s := &sim{ctx: ctx, v: v, c: v.c, e: vals.E, p: newSide(p), q: newSide(q), proved: map[[2]smt.Term]bool{}, local: l}
	l.s = s
	s.enterBodies(v.entered(p, q))
	l.mateOfQ = make([]int, len(q.Insns))
	for j := range l.mateOfQ {
		l.mateOfQ[j] = -1
	}
	for i, j := range mate {
		if j >= 0 {
			l.mateOfQ[j] = i
		}
	}
	l.heads = make([]bool, len(p.Insns))
	for b, head := range s.p.g.LoopHeads() {
		l.heads[s.p.g.Blocks[b].From] = head
	}
	l.push(place{})
	return l, Result{}
}

// run judges the windows that are left, with first up to one that is not proved. all
// tells that none is left.
func (l *local) run(ctx context.Context, first bool) (r Result, places []int, all bool) {
	s := l.s
	for round := 0; ; round++ {
		l.differMore = false
		for len(l.todo) > 0 && !(first && len(l.failed) > 0) && l.lost < mostLost*l.most() {
			at := l.todo[len(l.todo)-1]
			l.todo = l.todo[:len(l.todo)-1]
			if len(l.seen) > maxPlaces*len(s.p.f.Insns) {
				l.failed, l.reason = append(l.failed, at.at), "the functions stay apart"
				break
			}
			l.walk(at)
			if ctx.Err() != nil {
				return Result{Reason: "out of time"}, nil, false
			}
		}
		if len(l.failed) > 0 || !l.differMore {
			break
		}
		if round == maxRounds {
			return Result{Reason: "the frames differ in ever more places"}, nil, true
		}
		// All windows have to be run again with bytes that differ.
		clear(l.seen)
		l.push(place{})
	}
	r.Stats = s.stats
	if len(l.failed) > 0 {
		r.Reason = l.reason
		return r, l.failed, len(l.todo) == 0
	}
	r.Verdict = Equal
	r.Assumptions = s.e.Assumptions()
	r.Reason = fmt.Sprintf("%d windows, %d paths, %d obligations by identical terms, %d by %s",
		l.windows, s.stats.Paths, s.stats.Identical, s.stats.Solved, s.v.SolverName())
	return r, nil, true
}

func (l *local) push(at place) {
	live := l.live(at.at, at.qt)
	own := l.s.q.live.Before[at.qt]
	for r := range at.ahead {
		if !live.Has(isa.Reg(r)) {
			at.ahead[r] = 0
		}
		if !own.Has(isa.Reg(r)) {
			at.holds[r] = 0
		}
	}
	if !l.seen[at] {
		l.seen[at] = true
		l.todo = append(l.todo, at)
	}
}

// walk follows equal code from a pair of points, up to the next change.
func (l *local) walk(at place) {
	for {
		if l.vals.Before[at.at] == nil {
			return // p does not get here
		}
		if !l.clean(at) {
			l.window(at)
			return
		}
		in := &l.s.p.f.Insns[at.at]
		for r := range at.ahead {
			if in.Def().Has(isa.Reg(r)) {
				at.ahead[r], at.holds[r] = 0, 0
			}
		}
		if in.Target >= 0 {
			l.push(place{in.Target, l.s.q.f.Insns[at.qt].Target, at.ahead, at.holds})
		}
		if in.EndsBlock() {
			return
		}
		at.at, at.qt = at.at+1, at.qt+1
		if l.seen[at] {
			return
		} else if l.s.p.g.Blocks[l.s.p.g.BlockOf[at.at]].From == at.at {
			l.push(at)
			return
		}
	}
}

// clean: the same instruction on equal registers, and what follows corresponds.
func (l *local) clean(at place) bool {
	p, q := l.s.p.f, l.s.q.f
	i, j := at.at, at.qt
	x, y := &p.Insns[i], &q.Insns[j]
	if !sameInsn(x, y) || (x.Target < 0) != (y.Target < 0) {
		return false
	}
	for r, n := range at.ahead {
		if (n != 0 || at.holds[r] != 0) && x.Use().Has(isa.Reg(r)) {
			return false
		}
	}
	if x.Target >= 0 && l.mateOfP[x.Target] != y.Target {
		return false
	}
	return x.EndsBlock() || i+1 < len(p.Insns) && j+1 < len(q.Insns) && l.mateOfP[i+1] == j+1
}

// sameInsn: equal but for where they jump.
func sameInsn(x, y *prog.Insn) bool { return x.Insn == y.Insn && x.Ref == y.Ref }

// Bounds of a window: attempts to end it further on, those of them in which the
// solver would have been asked, instructions on a path, and equal instructions after
// a change that end it within a block.
const (
	maxTries  = 24
	maxQuick  = 4
	maxWindow = 5000
	settled   = 8
)

// Bounds of the work for windows that are not proved, in steps: of one, for itself
// and for each instruction of the function, and of all together, in such windows. A
// proof of the whole takes less than many such windows, where there is one.
const (
	windowSteps = 100_000
	windowInsn  = 100
	mostLost    = 3
	// maxUnknown is how many questions the solver may give up on besides.
	maxUnknown = 4
)

// most bounds the steps of one window.
func (l *local) most() int64 { return windowSteps + windowInsn*int64(len(l.s.p.f.Insns)) }

// window runs both functions from a pair of points where they are in one state
// to points where they are again. The solver is asked about its ends only if no other
// ends need no answer.
func (l *local) window(at place) {
	l.windows++
	s := l.s
	ctx, before := s.ctx, s.v.spent
	s.rest = !sameInsn(&s.p.f.Insns[at.at], &s.q.f.Insns[at.qt])
	s.reserved, s.unasked = true, 0
	err := l.extend(ctx, at)
	s.reserved = false
	if err != nil && s.unasked > 0 && ctx.Err() == nil {
		err = l.extend(ctx, at)
	}
	s.ctx = ctx
	if err == nil {
		for _, at := range l.arrived {
			l.push(at)
		}
		return
	}
	l.lost += s.v.spent - before
	l.failed = append(l.failed, at.at)
	if l.reason == "" {
		l.reason = err.Error()
	}
	// The other windows can still be judged, as if this one were proved.
	for b := range s.p.g.Blocks {
		if k := s.p.g.Blocks[b].From; l.mateOfP[k] >= 0 {
			l.push(place{at: k, qt: l.mateOfP[k]})
		}
	}
}

// extend tries one end of a window after the other, each further on than the one
// before.
func (l *local) extend(ctx context.Context, at place) error {
	s := l.s
	i, j := at.at, at.qt
	limit := l.most()
	if !s.reserved {
		limit += s.v.stepUnknown() * maxUnknown
	}
	within, end := steps.With(ctx, limit)
	defer end()
	s.ctx = within
	through := map[int]bool{}
	quick := 0
	for try := 0; ; try++ {
		l.stops(through)
		s.e.Restart()
		l.arrived = l.arrived[:0]
		ps := l.vals.Before[i].Clone()
		qs := ps.Clone()
		live := l.live(i, j)
		for r := isa.R0; r < isa.FP; r++ {
			switch {
			case !live.Has(r):
				qs.Regs[r] = 0
			case at.holds[r] != 0:
				qs.Regs[r] = at.holds[r]
			case at.ahead[r] != 0:
				qs.Regs[r] = s.c.Add(ps.Regs[r], s.c.Const(uint64(at.ahead[r]), 64))
			}
		}
		l.spoil(qs, i)
		err := s.region(i, j, ps, qs)
		if err == nil {
			return nil
		}
		if within.Err() != nil {
			return giveUp("a change takes too long to prove by itself")
		}
		if s.unasked > 0 && s.reserved {
			quick++
		}
		var apart errApart
		if try+1 == maxTries || quick == maxQuick || !errors.As(err, &apart) || !l.further(apart, through, settled<<min(try, 8)) {
			return err
		}
	}
}

// live is what either function may read after a pair of points.
func (l *local) live(i, j int) isa.RegSet { return l.s.p.live.Before[i] | l.s.q.live.Before[j] }

// further lets the paths of a window that stopped apart run on; false if they
// cannot.
func (l *local) further(a errApart, through map[int]bool, n int) bool {
	at := a.at
	if a.qt >= 0 {
		// Of two points the one that comes first is on the way to the other.
		if m := l.mateOfQ[a.qt]; m >= 0 && (at < 0 || through[at] || l.heads[at] || l.s.p.pos(m) < l.s.p.pos(at)) {
			at = m
		}
	}
	if at < 0 || through[at] || l.heads[at] {
		return false
	}
	b := l.s.p.g.Blocks[l.s.p.g.BlockOf[at]]
	for k := at; k < min(b.To, at+n); k++ {
		through[k] = true
	}
	return true
}

// stops puts the stops where corresponding blocks start, and where code that
// corresponds has gone on for a while.
func (l *local) stops(through map[int]bool) {
	p, q := l.s.p, l.s.q
	clear(p.stop)
	clear(q.stop)
	run := 0
	for k, m := range l.mateOfP {
		first := p.g.Blocks[p.g.BlockOf[k]].From == k
		if m < 0 {
			run = 0
			continue
		}
		if run++; k > 0 && l.mateOfP[k-1] != m-1 {
			run = 1
		}
		if (first || run > settled) && !through[k] {
			p.stop[k], q.stop[m] = true, true
		}
	}
}

// meet checks that a pair of paths that can be taken together ends in one state.
func (l *local) meet(p, q *end, hyps []smt.Term) error {
	s := l.s
	apart := func(format string, args ...any) error {
		return errApart{p.at, q.at, giveUp(format, args...).Error()}
	}
	if (p.at < 0) != (q.at < 0) || p.at >= 0 && l.mateOfP[p.at] != q.at {
		return apart("the functions go different ways (to instructions %d and %d)", p.at, q.at)
	}
	if err := s.equalMemory(p.state, q.state, hyps); err != nil {
		return apart("%v", err)
	}
	if p.at < 0 {
		return s.equalResults(p.state, q.state, hyps)
	}
	live, read := l.live(p.at, q.at), s.p.live.Before[p.at]
	at := place{at: p.at, qt: q.at}
	for r := isa.R0; r <= isa.FP; r++ {
		a, b := p.state.Regs[r], q.state.Regs[r]
		if !live.Has(r) && r != isa.FP || a == b {
			continue
		}
		if n, ok := l.ahead(a, b); ok && r != isa.FP {
			at.ahead[r] = n
		} else if r != isa.FP && !read.Has(r) && b != 0 && l.vals.lasts(b) {
			at.holds[r] = b
		} else if !s.equal(a, b, hyps) {
			return apart("r%d differs, or cannot be proved equal", r)
		}
	}
	if !s.equal(p.state.Frame, q.state.Frame, hyps) {
		return apart("the calls leave different frames")
	}
	for i := range p.state.Stack {
		if p.state.Stack[i] == q.state.Stack[i] || l.readNoMore(p.at, i) || s.equal(s.e.StackByte(p.state, i), s.e.StackByte(q.state, i), hyps) {
			continue
		}
		return apart("a byte of the frame differs, or cannot be proved equal")
	}
	if !slices.Contains(l.arrived, at) {
		l.arrived = append(l.arrived, at)
	}
	return nil
}

// ahead is how much more than pointer a the value b is, if that is a constant.
func (l *local) ahead(a, b smt.Term) (int64, bool) {
	if a == 0 || b == 0 || l.s.e.RegionOf(a).Kind == symex.Scalar {
		return 0, false
	}
	n, ok := l.s.c.IsConst(l.s.c.Sub(b, a))
	return int64(n), ok && n != 0
}
