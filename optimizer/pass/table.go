package pass

import (
	"context"
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/steps"
)

// Pass is one kind of rewrite.
type Pass struct {
	Name, Doc string
	run       func(r *run)
	// values: the pass looks at Values.
	values bool
	// doubtful: the kernel's checker often cannot follow.
	doubtful bool
}

// Inline is the name of the pass that makes functions grow.
const Inline = "inline"

// table is the order in which passes run in each round.
var table = []Pass{
	// First: what is known at a call then reaches the code that was called.
	{Name: Inline, Doc: "put the body of a small static function in the place of a call", run: inline, values: true},
	{Name: "dead-code", Doc: "remove instructions whose results nobody reads, and unreachable ones", run: deadCode},
	{Name: "branches", Doc: "fold decided branches", run: foldBranches, values: true, doubtful: true},
	{Name: "impossible", Doc: "give ways that are never taken no code of their own", run: impossible, values: true},
	{Name: "jumps", Doc: "thread, invert and drop jumps", run: jumps},
	{Name: "threads", Doc: "lead a way on which a branch is decided past it", run: threads, values: true},
	// Results set at the exits free the copies that made room for them.
	{Name: "exits", Doc: "set constant results where the function returns", run: exits, values: true},
	{Name: "chains", Doc: "compare with one value after the other where no range needs splitting", run: chains},
	{Name: "arms", Doc: "skip an operation instead of choosing an operand without effect", run: arms, values: true},
	{Name: "store-arms", Doc: "store a choice of constants in the arms of its branch", run: storeArms, values: true},
	{Name: "decisions", Doc: "branch on conditions, not on numbers made of them", run: decisions, values: true},
	{Name: "hammocks", Doc: "join branches on the same condition", run: hammocks, values: true},
	{Name: "divisions", Doc: "divide with the sign instead of branching on it", run: divisions, values: true},
	{Name: "phis", Doc: "keep a sum instead of choosing its operand", run: phis, values: true},
	{Name: "sums", Doc: "add to each of several constants instead of to the one chosen", run: sums, values: true},
	// Values first: it turns recomputation into copies, which the next remove.
	{Name: "values", Doc: "replace an instruction by a constant, a copy or nothing when its value is at hand", run: reuse, values: true},
	{Name: "wide-loads", Doc: "one load for bytes that were loaded and shifted together", run: wideLoads, values: true},
	{Name: "signed-loads", Doc: "load with the sign what is extended afterwards", run: signedLoads, values: true},
	{Name: "operands", Doc: "use older registers, immediates and folded offsets as operands", run: operands, values: true},
	{Name: "keep", Doc: "keep a value in a free register instead of computing it again", run: keep, values: true},
	{Name: "commute", Doc: "let the operands of an addition change places, to save the copy of one", run: commute, values: true},
	{Name: "late-results", Doc: "leave a call's result in R0 and set the function's own late", run: lateResults},
	{Name: "bases", Doc: "keep an address that is made again and again", run: bases, values: true},
	// An address made by an addition to the one before needs no addition.
	{Name: "offsets", Doc: "add constants where a sum is used", run: offsets},
	{Name: "coalesce", Doc: "define a value in the register it is moved to", run: coalesce},
	{Name: "early", Doc: "load at once what a saved pointer is kept for", run: early},
	{Name: "reload", Doc: "read again behind a call what has not changed, instead of keeping it", run: reload, values: true},
	{Name: "postpone", Doc: "look up behind other calls what is used there", run: postpone, values: true},
	{Name: "raise", Doc: "store a value at once instead of keeping it over calls", run: raise},
	// Before its mask is folded into the test.
	{Name: "bit-tests", Doc: "shift a constant of two slots, not the bit that is tested in it", run: bitTests, values: true},
	{Name: "shifted", Doc: "leave in the lower half what is shifted up to be compared or extended", run: shifted, values: true},
	// Narrow comparisons leave upper halves without use, which masks sees.
	{Name: "compares", Doc: "compare 32 bits where the upper halves are zero", run: narrowCompares, values: true},
	{Name: "masks", Doc: "remove what only changes bits that nobody looks at; narrow loads", run: masks, doubtful: true},
	{Name: "comparisons", Doc: "fold what prepares a comparison into it", run: comparisons, values: true},
	// Ranges of two values are in the way of constants in another order of bytes.
	{Name: "pairs", Doc: "compare with two neighbouring values one after the other", run: pairs},
	{Name: "unswap", Doc: "compare with constants in the order of the network", run: unswap, values: true},
	{Name: "rotates", Doc: "rotate by a multiplication that puts a value beside itself", run: rotates, values: true},
	{Name: "folds", Doc: "add the halves of a checksum, and the carry, by one multiplication", run: folds, values: true},
	{Name: "windows", Doc: "replace a few instructions by one that computes the same", run: windows, values: true},
	{Name: "reciprocals", Doc: "multiply and shift where dividing by a constant is slow; divide 32 bits where no more are set", run: reciprocals, values: true},
	{Name: "stores", Doc: "merge neighbouring stores", run: mergeStores, values: true},
	{Name: "halves", Doc: "store a constant of two slots in two halves", run: halves},
	{Name: "atomics", Doc: "one atomic operation for a read-modify-write, where that is allowed", run: atomics, values: true},
	{Name: "deposit", Doc: "store a value before a branch instead of loading it again behind", run: deposit, values: true},
	// Wider stores hide the ones that set their bytes before.
	{Name: "widen-stores", Doc: "let stores cover bytes that they leave as they are", run: widenStores, values: true},
	{Name: "gather", Doc: "store at once what is read at once", run: gather, values: true},
	{Name: "dead-stores", Doc: "remove stores to stack bytes that nobody reads", run: deadStores, values: true},
	{Name: "idle-stores", Doc: "remove stores of what is in their place already", run: idleStores, values: true},
	{Name: "past", Doc: "jump past what changes nothing on the way", run: past, values: true},
	{Name: "share", Doc: "let jumps to equal code go to one copy", run: share},
	{Name: "tails", Doc: "share identical code before a join or an exit", run: mergeTails, values: true},
	// Two ends that are alike but for registers become alike.
	{Name: "meet", Doc: "let two ways store at one place what each computed", run: meet, values: true},
	{Name: "share-exit", Doc: "let two constant results share an exit by an addition", run: shareExit, values: true},
	{Name: "edges", Doc: "set a register on the way to a branch's target, where another way does so too", run: edges, values: true},
	{Name: "hoist", Doc: "share identical code after a branch", run: hoist, values: true},
	{Name: "preset", Doc: "compute before a branch what one way has code of its own for", run: preset, values: true},
	{Name: "sink", Doc: "compute only on the way that needs it", run: sink},
	// What starts from the old place or the new one has been found by now.
	{Name: "advance", Doc: "move a pointer on instead of a copy of it, and read behind it", run: advance, values: true},
	// These look at all registers at once, and take longer than what makes way
	// for them.
	{Name: "spills", Doc: "keep a variable of the stack in a register", run: spills, values: true},
	{Name: "registers", Doc: "assign registers anew to save copies and callee-saved registers", run: registers},
	{Name: "frame", Doc: "let parts of the stack that are never wanted together share bytes", run: pack, values: true},
	// The order of code matters once there is no more to remove.
	{Name: "layout", Doc: "fall through where traffic goes", run: layout},
}

// Config is what passes need to know.
type Config struct {
	// MCPU is the newest instruction set level to use, 1 to 4.
	MCPU int
	// Validator computes values.
	Validator *equiv.Validator
	// Weights gives the expected runs of each instruction in one run of a
	// function; nil for cost.Guess.
	Weights func(f *prog.Func) []float64
	// Model has the prices of instructions where time counts; nil where it does not, or
	// divisions take any time.
	Model *cost.Model
	// Callers counts the functions of the object that call the one of a name, or take
	// its address; nil: one does.
	Callers func(name string) int
	// AllowAtomics lets plain read-modify-writes become atomic operations.
	AllowAtomics bool
	// Disable leaves out passes by name.
	Disable map[string]bool

	windows found
}

// Names lists the passes in order.
func Names() []string {
	var out []string
	for _, p := range table {
		out = append(out, p.Name)
	}
	return out
}

// All returns the passes as transforms.
func All(c Config) []pipeline.Transform {
	var out []pipeline.Transform
	for k := range table {
		if !c.Disable[table[k].Name] {
			out = append(out, transform{&table[k], &c})
		}
	}
	return out
}

type transform struct {
	*Pass
	c *Config
}

func (t transform) Name() string { return t.Pass.Name }

// Doubtful implements pipeline.Doubtful.
func (t transform) Doubtful() bool { return t.doubtful }

func (t transform) Run(ctx context.Context, f *prog.Func, allow func(int) bool) (*prog.Func, []pipeline.Change) {
	steps.Spend(ctx, stepInsn*int64(len(f.Insns)))
	r := &run{Config: t.c, ctx: ctx, f: f, g: f.Clone(), allow: allow}
	r.cfg = prog.NewCFG(f)
	r.live = prog.NewLiveness(r.cfg)
	if t.values {
		v, err := t.c.Validator.Values(ctx, f)
		if err != nil {
			return nil, nil // without values there is nothing to go by
		}
		r.vals = v
	}
	t.run(r)
	r.applyLater()
	if t.values {
		t.c.Validator.Spend(ctx)
	}
	if len(r.changes) == 0 || ctx.Err() != nil {
		return nil, nil
	}
	r.g.Compact()
	Clean(r.g)
	return r.g, r.changes
}

// run is one application of a pass to a function. f stays as it is; g has the
// same numbering until the pass splices, and is what comes out.
type run struct {
	*Config
	ctx       context.Context
	f, g      *prog.Func
	cfg       *prog.CFG
	live      *prog.Liveness
	vals      *equiv.Values
	predTable [][]int // made when first asked for
	allow     func(int) bool
	site      int

	predecessors [][]int // computed when asked for
	changes      []pipeline.Change
	inserts      []insert
}

// insert is code that goes before instruction at of f, or takes its place, once
// the pass is done.
type insert struct {
	at      int
	instead bool
	code    []prog.Insn
}

// later puts code before instruction k when the pass is done: until then g keeps
// the numbering of f. Of two for one place the second comes first. Jumps to k go to
// that code; one in it to k goes past it.
func (r *run) later(k int, code ...prog.Insn) {
	r.inserts = append(r.inserts, insert{k, false, code})
}

// replaceLater puts code in the place of instruction k when the pass is done.
func (r *run) replaceLater(k int, code ...prog.Insn) {
	r.inserts = append(r.inserts, insert{k, true, code})
}

func (r *run) applyLater() {
	if len(r.inserts) == 0 {
		return
	}
	at := map[int][]insert{}
	for _, i := range r.inserts {
		at[i.at] = append(at[i.at], i)
	}
	n := len(r.g.Insns)
	start, own := make([]int, n+1), make([]int, n+1) // with the code before it, without
	var out []prog.Insn
	var past []int // for each of out: the instruction that a jump to goes past inserted code, -1
	for k := range n + 1 {
		start[k] = len(out)
		instead := []prog.Insn(nil)
		for _, i := range slices.Backward(at[k]) {
			if i.instead {
				instead = i.code
				continue
			}
			for _, in := range i.code {
				out, past = append(out, in), append(past, k)
			}
		}
		if own[k] = len(out); k == n {
			break
		}
		if instead == nil {
			instead = r.g.Insns[k : k+1]
		}
		for _, in := range instead {
			out, past = append(out, in), append(past, -1)
		}
	}
	for i := range out {
		switch t := out[i].Target; {
		case t < 0:
		case t == past[i]:
			out[i].Target = own[t]
		default:
			out[i].Target = start[t]
		}
	}
	r.g.Insns = out
}

// ok asks whether to rewrite the site at instruction k.
func (r *run) ok(k int, format string, args ...any) bool {
	yes := !r.over() && r.allow(r.site)
	r.site++
	if yes {
		r.changes = append(r.changes, pipeline.Change{At: k, Text: fmt.Sprintf(format, args...)})
	}
	return yes
}

// stepInsn is what a pass counts, in steps, for each instruction of a function.
const stepInsn = 3

// over tells that the budget is spent: what a pass found until then is not used.
func (r *run) over() bool {
	if r.vals != nil {
		r.Validator.Spend(r.ctx)
	}
	return r.ctx.Err() != nil
}

// nop deletes instruction k of g.
func (r *run) nop(k int) { r.g.Insns[k] = prog.New(isa.Insn{Op: isa.Nop}) }

// set replaces instruction k of g, which keeps its origin.
func (r *run) set(k int, in isa.Insn) {
	n := prog.New(in)
	n.Origin = r.g.Insns[k].Origin
	r.g.Insns[k] = n
}

// text renders an instruction for a change's description.
func text(in *prog.Insn) string {
	s := isa.Format(in.Insn, "")
	if in.Ref != nil {
		s += " (" + in.Ref.Name + ")"
	}
	return s
}

// plain: an instruction that only computes a register (no memory written, no
// call), and may be altered.
func plain(in *prog.Insn) bool {
	switch in.Row().Kind {
	case isa.KindALU, isa.KindLoad, isa.KindLoadImm:
		return !in.Frozen()
	}
	return false
}

func movReg(d, s isa.Reg) isa.Insn {
	return isa.Insn{Op: isa.ALU(isa.FnMov, 64, false), Dst: d, Src: s}
}

// movConst is the one-slot move of a 64-bit constant, if there is one.
func (r *run) movConst(d isa.Reg, v uint64) (isa.Insn, bool) {
	if int64(int32(v)) == int64(v) {
		return isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: d, Imm: int64(v)}, true
	}
	if v>>32 == 0 && r.MCPU >= 3 {
		return isa.Insn{Op: isa.ALU(isa.FnMov, 32, true), Dst: d, Imm: int64(int32(v))}, true
	}
	return isa.Insn{}, false
}
