package pass

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// move is a change of the code's order around instruction k: the run of code
// [from,to), which control enters by jumps and never falls out of, goes to at.
type move struct {
	k, from, to, at int
	// gain is how many taken jumps a run of the function saves, as the weights
	// have it.
	gain float64
	what string
}

// maxMoves bounds the moves of one run of the pass.
const maxMoves = 32

// layout lets control fall through where traffic goes and jump where it seldom
// does. Every move saves taken jumps, so it comes to an end.
func layout(r *run) {
	weights := r.Weights
	if weights == nil {
		weights = cost.Guess
	}
	refused := map[string]bool{}
	for range maxMoves {
		m, ok := r.bestMove(r.g, weights(r.g), refused)
		if !ok {
			return
		}
		in := &r.g.Insns[m.k]
		what := m.what + ": " + text(in)
		refused[what] = true // not again in this run, whatever the answer
		at := max(0, slices.IndexFunc(r.f.Insns, func(x prog.Insn) bool { return x.Insn == in.Insn && x.Origin == in.Origin }))
		if r.ok(at, "%s", what) {
			m.apply(r.g)
		}
	}
}

// bestMove finds the move that saves most.
func (c *Config) bestMove(f *prog.Func, w []float64, refused map[string]bool) (best move, ok bool) {
	taken := cost.TakenBranches(f, w)
	entered := make([]bool, len(f.Insns)+1) // control falls into it
	for k := range f.Insns {
		entered[k+1] = !f.Insns[k].EndsBlock()
	}
	entered[0] = true
	consider := func(m move) {
		if m.gain > 1e-6 && (!ok || m.gain > best.gain) && !refused[m.what+": "+text(&f.Insns[m.k])] {
			best, ok = m, true
		}
	}
	for k := range f.Insns {
		in := &f.Insns[k]
		t := in.Target
		if t < 0 || k+1 >= len(f.Insns) {
			continue
		}
		// The code at the target, if nothing falls into it or out of it.
		end := runEnd(f, t)
		movable := !entered[t] && end >= 0 && !(t <= k && k < end)
		switch in.Row().Kind {
		case isa.KindJump:
			if movable {
				consider(move{k, t, end, k + 1, w[k], "follows its jump"})
			}
		case isa.KindCondJump:
			if _, inv := c.inverse(in); !inv || in.Frozen() || t == k+1 {
				continue
			}
			gain := 2*taken[k] - w[k]
			if movable {
				consider(move{k, t, end, k + 1, gain, "falls through where it mostly goes"})
			}
			if e := runEnd(f, k+1); e >= 0 && e == t {
				consider(move{k, k + 1, e, len(f.Insns), gain, "seldom runs and goes out of line"})
			}
		}
	}
	return best, ok
}

// maxRun bounds the code that is moved at a time.
const maxRun = 256

// runEnd is one past the first instruction from k on that control does not
// fall out of, -1 if that is far.
func runEnd(f *prog.Func, k int) int {
	for e := k; e < len(f.Insns) && e < k+maxRun; e++ {
		if f.Insns[e].EndsBlock() {
			return e + 1
		}
	}
	return -1
}

// apply inverts the branch, if it is one, so that it goes to the code that it
// fell into, and moves the run.
func (m move) apply(f *prog.Func) {
	if in := &f.Insns[m.k]; in.Row().Kind == isa.KindCondJump {
		in.Op = isa.CondJump(inverse[in.Row().Fn], in.Row().Width, in.Row().Imm)
		in.Target = m.k + 1
	} else {
		f.Insns[m.k] = prog.New(isa.Insn{Op: isa.Nop})
	}
	var order []int
	keep := func(from, to int) {
		for k := from; k < to; k++ {
			if k < m.from || k >= m.to {
				order = append(order, k)
			}
		}
	}
	keep(0, m.at)
	for k := m.from; k < m.to; k++ {
		order = append(order, k)
	}
	keep(m.at, len(f.Insns))
	now := make([]int, len(f.Insns))
	out := make([]prog.Insn, 0, len(f.Insns))
	for i, k := range order {
		now[k] = i
		out = append(out, f.Insns[k])
	}
	for k := range out {
		if out[k].Target >= 0 {
			out[k].Target = now[out[k].Target]
		}
	}
	f.Insns = out
}
