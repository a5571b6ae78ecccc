package equiv

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/superbpf/superbpf/optimizer/equiv/environ"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/steps"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// Verdict is the answer of a proof. The zero value is "don't know".
type Verdict uint8

// The verdicts. Only Equal lets code be replaced.
const (
	Unknown Verdict = iota
	Equal
	Different
	Unsupported
)

func (v Verdict) String() string {
	return [...]string{"Unknown", "Equal", "Different", "Unsupported"}[v]
}

// Stats counts what a proof took.
type Stats struct {
	Cuts, Regions, Paths int
	// Obligations settled by identical terms, and by a solver.
	Identical, Solved int
	// Questions settled by rewriting and by trying, without a solver.
	Quick int
	// Solver calls and how they ended.
	SolverCalls, SolverUnknown int
}

// Result is a proof's outcome.
type Result struct {
	Verdict     Verdict
	Reason      string
	Assumptions []string
	Stats       Stats
	// Places are the instructions of p where the changes begin that were not
	// proved, while the others were. Empty when that is not known.
	Places []int
	// Alone: each change was judged by itself, and would be again.
	Alone bool
}

// Options of a Validator.
type Options struct {
	// Solver is a backend name for smt.Open; "none" leaves everything that
	// identical terms do not settle undecided.
	Solver string
	Limits smt.Limits
	// MaxPaths bounds the paths of one region of one function; zero: 400.
	MaxPaths int
	// Raw switches the normal forms off: slower, and independent of them.
	Raw bool
	// Callee finds the functions that calls go to.
	Callee func(name string) *prog.Func
	// AllowAtomics lets atomic operations that return nothing stand for plain
	// read-modify-writes. PreserveShared keeps every access to map memory.
	AllowAtomics, PreserveShared bool
	// What makes proofs fast, off one by one, for measuring: answers that are
	// remembered; one solver and its terms for many proofs; windows, and cuts at
	// joins (with none but loops cut, whole paths are run); what is decided by
	// rewriting and by trying. See Raw, too.
	NoCache, NoReuse, NoCuts, NoQuick bool
	// And what memory is divided by: constant offsets, maps, kinds of memory.
	NoOffsets, NoMaps, NoTypes bool
	// TestsLast: tests come when no proof is found, not before.
	TestsLast bool
	// Places: of a replacement that tests tell from the original the places are
	// looked for, too. See Result.
	Places bool
}

// Validator proves replacements. It is not safe for concurrent use.
type Validator struct {
	opt Options
	// One term context and solver serve proofs until the context has grown.
	c      *smt.Ctx
	solver smt.Solver
	sims   int   // made so far
	told   int64 // work in c that was counted as steps
	spent  int64 // steps in all
	last   *analysed
	known  *visits // in c
	tests  *tests

	cache      map[verdictKey]Result
	cacheStats CacheStats
}

// New makes a validator.
func New(o Options) (*Validator, error) {
	if o.MaxPaths == 0 {
		o.MaxPaths = 400
	}
	v := &Validator{opt: o}
	return v, v.reset()
}

const maxTerms = 400_000

func (v *Validator) reset() error {
	v.Close()
	v.last, v.known, v.told = nil, nil, 0
	v.c = smt.NewCtx(smt.Options{Raw: v.opt.Raw})
	if v.opt.Solver == "none" {
		return nil
	}
	s, err := smt.Open(v.c, v.opt.Solver)
	v.solver = s
	return err
}

// Steps for what is not counted in terms: executing an instruction, which copies
// states; a question to the solver, and one that it gave up on at its default
// limit.
const (
	stepInsn    = 10
	stepQuery   = 20_000
	stepGivenUp = 5_000_000
)

// stepUnknown is stepGivenUp at the limit that questions have.
func (v *Validator) stepUnknown() int64 {
	if n := v.opt.Limits.Steps; n > 0 {
		return stepGivenUp * int64(n) / int64(smt.DefaultLimits.Steps)
	}
	return stepGivenUp
}

// Spend counts the work since it was called last as steps of ctx: that of whoever
// makes terms in the context of Values.
func (v *Validator) Spend(ctx context.Context) { v.spend(ctx, 0) }

// spend counts the work since it was called last, and more, as steps.
func (v *Validator) spend(ctx context.Context, more int64) {
	w := v.c.Work()
	n := (w-v.told)*2/3 + more // a term takes less than a step
	v.told, v.spent = w, v.spent+n
	steps.Spend(ctx, n)
}

// Close frees the solver.
func (v *Validator) Close() {
	if v.solver != nil {
		v.solver.Close()
		v.solver = nil
	}
}

// SolverName says which backend is in use.
func (v *Validator) SolverName() string {
	if v.solver == nil {
		return "none"
	}
	return v.solver.Name()
}

// errGiveUp carries the reason of an Unknown verdict.
type errGiveUp struct{ reason string }

func (e errGiveUp) Error() string { return e.reason }

func giveUp(format string, args ...any) error {
	const longest = 400 // terms can fill pages
	s := fmt.Sprintf(format, args...)
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	return errGiveUp{s}
}

// prove is Func without the cache. wanted: it looks for the places that are not proved.
func (v *Validator) prove(ctx context.Context, p, q *prog.Func, wanted bool) Result {
	for _, f := range []*prog.Func{p, q} {
		if err := prog.Check(f); err != nil {
			return Result{Verdict: Unsupported, Reason: err.Error()}
		}
	}
	if prog.SameCode(p, q) {
		return Result{Verdict: Equal, Reason: "identical code"}
	}
	if err := cmp.Or(keepsPatched(p, q, v.entered(p, q)), keepsArguments(p, q)); err != nil {
		return Result{Reason: err.Error()}
	}
	room := maxTerms
	if v.last != nil {
		room = v.last.room
	}
	if v.c.Len() > room || v.opt.NoReuse {
		if err := v.reset(); err != nil {
			return Result{Reason: err.Error()}
		}
	}
	enter := v.entered(p, q)
	tell := func(most int) string {
		t := v.testsOf(p, enter)
		return t.suite.Tell(environ.Prepare(q, v.running(t.enter)), ResultWidth(p), most)
	}
	first := ""
	if !v.opt.TestsLast {
		if first = tell(firstTests); first != "" && !wanted {
			return Result{Verdict: Different, Reason: first}
		}
	}
	l, last := v.locally(ctx, p, q)
	var places []int
	all := true
	if l != nil {
		last, places, all = l.run(ctx, true)
	}
	switch {
	case first != "" && last.Verdict == Equal:
		return Result{Reason: "a proof and a test contradict each other: " + first}
	case last.Verdict == Equal || ctx.Err() != nil:
		return last
	}
	different := ""
	if !v.opt.TestsLast {
		different = tell(allTests)
	}
	large := len(p.Insns) > affordable
	// Where one window fails, so may many; a proof of the whole needs none of them.
	tried := false
	if different == "" && len(places) > 0 && !large && !(len(p.Insns) > quick && last.Stats.SolverUnknown > 0) {
		within, end := steps.With(ctx, wholeSteps+wholeInsn*int64(len(p.Insns)))
		whole, over := v.wholly(within, p, q, byOrigin)
		tried = within.Err() == nil
		end()
		if over || ctx.Err() != nil {
			return whole
		}
	}
	if !all && wanted {
		last, places, all = l.run(ctx, false)
		if ctx.Err() != nil {
			return last
		}
	}
	if different != "" {
		return Result{Verdict: Different, Reason: different, Stats: last.Stats, Places: places, Alone: large && all && len(places) > 0}
	}
	if large && len(places) > 0 {
		last.Places, last.Alone = places, all
		return last
	}
	if len(p.Insns) > quick && len(places) > 0 && last.Stats.SolverUnknown > 0 {
		// The solver would be asked the same again, at the same length, for each way.
		last.Places = places
		return last
	}
	ways := []pairing{byOrigin, awayFromEdits, everyJoin}
	if v.opt.NoCuts {
		ways = ways[:1]
	}
	for _, how := range ways {
		if tried && how == byOrigin {
			continue
		}
		r, over := v.wholly(ctx, p, q, how)
		if r.Reason != "" {
			last = r
			last.Places = places
		}
		if over || ctx.Err() != nil {
			return last
		}
	}
	if v.opt.TestsLast {
		if d := tell(allTests); d != "" {
			last.Verdict, last.Reason = Different, d
		}
	}
	return last
}

// wholly proves with the joins paired in one way. over: no other way needs to be
// tried. A result without a reason means that this way is as another.
func (v *Validator) wholly(ctx context.Context, p, q *prog.Func, how pairing) (r Result, over bool) {
	s := newSim(ctx, v, p, q, how)
	if s == nil {
		return r, false
	}
	err := s.run()
	r.Stats = s.stats
	if err != nil {
		r.Reason = err.Error()
		if over = errors.Is(err, symex.ErrUnsupported); over {
			r.Verdict = Unsupported
		}
		return r, over
	}
	r.Verdict = Equal
	r.Assumptions = s.e.Assumptions()
	r.Reason = fmt.Sprintf("%d cuts, %d paths, %d obligations by identical terms, %d by %s",
		s.stats.Cuts, s.stats.Paths, s.stats.Identical, s.stats.Solved, v.SolverName())
	return r, true
}

// wholeSteps and wholeInsn bound the steps of a first proof of the whole, for itself
// and for each instruction.
const (
	wholeSteps = 100_000
	wholeInsn  = 300
)

// affordable is the largest size of functions, in instructions, that are looked
// at as a whole when a change cannot be proved by itself.
const affordable = 3000

// quick is the size of functions, in instructions, up to which a proof of the whole
// is tried, too, where the solver gave up on a change by itself.
const quick = 256

// keepsArguments requires that a subprogram q reads no argument that p does not:
// callers of p need not set it.
func keepsArguments(p, q *prog.Func) error {
	if more := prog.Reads(q) &^ prog.Reads(p); !p.Entry && more != 0 {
		return giveUp("an argument is read that was not before")
	}
	return nil
}

// keepsPatched requires that instructions which the loader completes are those
// of p or of a body that is entered, registers aside: it knows how to patch these and
// no others.
func keepsPatched(p, q *prog.Func, enter []*prog.Func) error {
	for k := range q.Insns {
		in := &q.Insns[k]
		if !in.Frozen() {
			continue
		}
		found := false
		for _, f := range append([]*prog.Func{p}, enter...) {
			for j := range f.Insns {
				o := &f.Insns[j]
				found = found || o.Ref != nil && prog.SameRef(o.Ref, in.Ref) && (o.Op == in.Op || sameField(o, in)) && o.Off == in.Off && o.Imm == in.Imm
			}
		}
		if !found {
			return giveUp("instruction %d is completed by the loader and was changed", k)
		}
	}
	return nil
}

// sameField: two loads of a signed field; one may extend its sign.
func sameField(a, b *prog.Insn) bool {
	x, y := a.Row(), b.Row()
	return a.Ref.Signed && x.Kind == isa.KindLoad && y.Kind == isa.KindLoad && x.Width == y.Width
}

// ResultWidth is how many bits of the result of f a run can be held against:
// none where f may return nothing at all.
func ResultWidth(f *prog.Func) uint8 {
	if !f.Entry && prog.NewLiveness(prog.NewCFG(f)).Before[0].Has(isa.R0) {
		return 0
	}
	return resultWidth(f)
}

// resultWidth is how many bits of R0 the kernel looks at when f returns:
// bpf_prog_run gives 32; trampolines pass on all 64.
func resultWidth(f *prog.Func) uint8 {
	if !f.Entry {
		return 64
	}
	switch f.Type {
	case prog.TypeSocketFilter, prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeXDP, prog.TypeTracepoint, prog.TypeRawTracepoint,
		prog.TypeCgroupSKB, prog.TypeCgroupSock, prog.TypeCgroupSockAddr, prog.TypeLWTIn, prog.TypeLWTOut, prog.TypeLWTXmit,
		prog.TypeKprobe, prog.TypePerfEvent, prog.TypeSockOps, prog.TypeSKSKB, prog.TypeSKMsg, prog.TypeSKReuseport,
		prog.TypeFlowDissector, prog.TypeSKLookup, prog.TypeNetfilter, prog.TypeCgroupDevice, prog.TypeCgroupSysctl, prog.TypeCgroupSockopt,
		prog.TypeSyscall:
		return 32
	}
	return 64
}

// simulation is one attempt at a proof.
type sim struct {
	ctx    context.Context
	v      *Validator
	c      *smt.Ctx
	e      *symex.Engine
	p, q   *side
	cuts   map[[2]int]*cut
	order  []*cut
	queue  agenda
	slots  []slot
	stats  Stats
	proved map[[2]smt.Term]bool

	// Of a function that is run beside itself: the visits of its cuts, by where they
	// are, those of an earlier one, the points of the visit at hand, and the cuts'
	// names.
	visits map[int]*visit
	known  *visits
	points []point
	names  map[int]string

	facts []smt.Term
	local *local // nil in a proof over the whole functions
	rest  bool   // a path may stop where it starts
	// reserved: the solver is not asked; unasked counts what it would have been.
	reserved bool
	unasked  int
}
