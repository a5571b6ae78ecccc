package safety

import (
	"github.com/superbpf/superbpf/optimizer/absint"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Verdict is what the model says of a function.
type Verdict struct {
	// Refused: the kernel's checker will not take it.
	Refused bool
	// Insn is the instruction and Reason the violation.
	Insn   int
	Reason string
	// Complete: every path was walked. Otherwise what was seen is harmless.
	Complete bool
	Steps    int // instructions walked
}

// Limits of a walk: instructions, and states kept at one point.
const (
	maxSteps  = 20_000
	maxStates = 48
)

// Check walks the paths of f from its entry.
func Check(f *prog.Func) Verdict {
	if err := prog.Check(f); err != nil {
		return Verdict{Refused: true, Complete: true, Reason: err.Error()}
	}
	g := prog.NewCFG(f)
	for b := range g.Blocks {
		if g.Pos[b] < 0 {
			return Verdict{Refused: true, Insn: g.Blocks[b].From, Reason: "unreachable instruction", Complete: true}
		}
	}
	c := &checker{f: f, w: absint.NewWalker(f, absint.Options{}), live: prog.NewLiveness(g), owes: make([][]Obligation, len(f.Insns)),
		seen: map[int][]*visit{}, v: Verdict{Complete: true}}
	join := map[int]bool{}
	for b := range g.Blocks {
		if len(g.Blocks[b].Preds) > 1 || b == 0 && len(g.Blocks[b].Preds) > 0 {
			join[g.Blocks[b].From] = true
		}
	}
	c.join = join
	for k := range f.Insns {
		c.owes[k] = Of(f, k)
	}
	c.walk(c.w.Start(), 0)
	return c.v
}

// void are the helpers without a result: tail_call, spin_lock, spin_unlock,
// ringbuf_submit, ringbuf_discard and its dynptr forms.
var void = map[int64]bool{12: true, 93: true, 94: true, 132: true, 133: true, 199: true, 200: true}

// visit is a state that a join was reached with.
type visit struct {
	s    *absint.State
	open bool // paths from it are still being walked
}

type checker struct {
	f    *prog.Func
	w    *absint.Walker
	live *prog.Liveness
	owes [][]Obligation
	join map[int]bool
	seen map[int][]*visit
	v    Verdict
}

func (c *checker) refuse(k int, reason string) {
	c.v.Refused, c.v.Insn, c.v.Reason = true, k, reason
}

// walk follows s from instruction k until its paths end, one is refused, or the
// limit is reached.
func (c *checker) walk(s *absint.State, k int) {
	var opened []*visit
	defer func() {
		for _, v := range opened {
			v.open = false
		}
	}()
	for {
		if c.v.Refused || !c.v.Complete {
			return
		}
		if c.join[k] {
			v := c.arrive(s, k)
			if v == nil {
				return
			}
			opened = append(opened, v)
		}
		if c.v.Steps++; c.v.Steps > maxSteps {
			c.v.Complete = false
			return
		}
		for i := range c.owes[k] {
			if why := c.owes[k][i].holds(c.f, s); why != "" {
				c.refuse(k, why)
				return
			}
		}
		in := &c.f.Insns[k]
		switch in.Row().Kind {
		case isa.KindExit:
			return
		case isa.KindCondJump, isa.KindMayGoto:
			taken, fall := c.w.Branch(s, k)
			switch {
			case !taken.Reachable && !fall.Reachable:
				return
			case !taken.Reachable:
				s, k = fall, k+1
			case !fall.Reachable:
				s, k = taken, in.Target
			default:
				c.walk(fall, k+1)
				s, k = taken, in.Target
			}
		case isa.KindJump:
			k = in.Target
		default:
			c.w.Step(s, k)
			if in.Row().Kind == isa.KindCallHelper && void[in.Imm] {
				s.Forget(isa.R0)
			}
			k++
		}
	}
}

// arrive notes that a join was reached, nil if no more can be learned from s.
func (c *checker) arrive(s *absint.State, k int) *visit {
	for r := isa.R0; r < isa.FP; r++ {
		if !c.live.Before[k].Has(r) {
			s.Forget(r)
		}
	}
	list := c.seen[k]
	for i := len(list) - 1; i >= 0; i-- {
		old := list[i]
		if !old.s.Covers(s) {
			continue
		}
		if !old.open {
			return nil
		}
		if s.Covers(old.s) && !c.unbounded() {
			c.refuse(k, "an endless loop")
			return nil
		}
	}
	v := &visit{s.Clone(), true}
	if len(list) >= maxStates {
		list = list[1:]
	}
	c.seen[k] = append(list, v)
	return v
}

// unbounded: loops that end by means the states do not show.
func (c *checker) unbounded() bool {
	for k := range c.f.Insns {
		switch c.f.Insns[k].Row().Kind {
		case isa.KindMayGoto, isa.KindCallKfunc:
			return true
		}
	}
	return false
}
