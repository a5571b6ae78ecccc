package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Proof is a prover's answer about one replacement.
type Proof struct {
	// Equal: the replacement is allowed. The zero value is "don't know".
	Equal bool
	// Verdict is the prover's word: Equal, Different, Unknown or Unsupported.
	Verdict string
	// Reason says why not, or how.
	Reason string
	// Assumptions are facts outside the program that the proof used.
	Assumptions []string
	// Places are the instructions of p where the changes begin that were not
	// proved, while others were. Alone: each was judged by itself, so that it is
	// no use to try it without the others.
	Places []int
	Alone  bool
}

// Prover decides whether q may replace p.
type Prover interface {
	Prove(ctx context.Context, p, q *prog.Func) Proof
}

// WholeProver is a Prover that may leave out the places of what it cannot prove.
// ProveWhole is asked about replacements that are taken or left as they are.
type WholeProver interface {
	Prover
	ProveWhole(ctx context.Context, p, q *prog.Func) Proof
}

// GateResult is what a kernel said about a program.
type GateResult struct {
	// Kernel is the gate's name.
	Kernel   string
	Accepted bool
	// Reason is one line, Kind its class; Log is the verifier's log, if any.
	Reason, Kind, Log string
	// FailFunc and FailSlot locate the refused instruction: slots from the start
	// of that function; empty and -1 when the log names none.
	FailFunc string
	FailSlot int
	// Bytes after the verifier's rewriting and after the JIT; instructions
	// that the verifier processed.
	XlatedBytes, JitedBytes, VerifiedInsns int
	// Besides is what the verifier processed when it was asked in other ways too.
	Besides int
	// Stack is the depth in bytes of the program's frame and of those of its
	// subprograms.
	Stack []int
	// Others are the refusals of further kernels.
	Others []GateResult
}

// Gate asks a kernel's verifier. An error means that no answer was had
// (missing privilege, for instance).
type Gate interface {
	Name() string
	Load(ctx context.Context, object []byte, program string) (GateResult, error)
}

// WholeGate is a Gate whose Load may leave out what a verdict on the code does
// not depend on, such as line information. Inputs and outputs are loaded whole.
type WholeGate interface {
	Gate
	LoadWhole(ctx context.Context, object []byte, program string) (GateResult, error)
}

// Change is one rewrite that a transform made.
type Change struct {
	At   int // index in the function before
	Text string
}

// Transform rewrites a function. Run visits its sites in a deterministic order
// and applies those that allow admits; it returns nil when nothing changed.
type Transform interface {
	Name() string
	Run(ctx context.Context, f *prog.Func, allow func(site int) bool) (*prog.Func, []Change)
}

// Object is an input object as the pipeline sees it.
type Object interface {
	// Functions lists all functions, programs and subprograms.
	Functions() []*prog.Func
	// Users lists the names of the programs that contain function i.
	Users(i int) []string
	// Encode writes the object with the given functions replaced.
	Encode(replaced map[int]*prog.Func) ([]byte, error)
}

// Budget bounds work. Steps end it at the same place on any machine (see package
// steps); Wall is a ceiling of wall-clock time.
type Budget struct {
	// Steps is the limit for a function of that many instructions, or, of a total, for
	// an object; nil: none.
	Steps func(insns int) int64
	Wall  time.Duration
}

// Options steer a run.
type Options struct {
	Objective cost.Objective
	Model     *cost.Model
	// Transforms run round after round until none improves.
	Transforms []Transform
	// Search transforms run once the others are at rest; what they improve
	// starts another round.
	Search []Transform
	// Last transforms join Search when all else is at rest; they may use up the
	// budget, and leave half of it to exploring.
	Last   []Transform
	Prover Prover
	Gates  []Gate
	// Budget bounds the work on one function, Total that on all of them: of what is
	// left of it a function gets a share by its size. Zero means no bound.
	Budget Budget
	Total  Budget
	// MaxRounds bounds the rounds over all transforms; zero means 12.
	MaxRounds int
	// FewLoads lets steps be loaded together where loading takes long. Forms on the way
	// may then be such as no kernel was asked about: not for Select.
	FewLoads bool
	// Explore is how many other orders of the transforms are tried on a function of
	// up to 100 instructions, fewer on larger ones; Seed chooses them.
	Explore int
	Seed    uint64
	// Weights gives the expected executions per run of each instruction of an
	// input function, nil when unknown.
	Weights func(f *prog.Func) []float64
	// Progress is told what happens; nil for nobody.
	Progress func(Event)
	// Only limits the work to these functions; empty means all.
	Only map[string]bool
}

// Event is one piece of progress.
type Event struct {
	Function   string
	Step       string // what is being done
	Slots      int    // best so far
	SlotsStart int
	Nanos      float64
	Done       bool
}

// ErrNoGate is returned when there is no kernel to accept programs.
var ErrNoGate = errors.New("no kernel gate: every rewrite must be accepted by a kernel's verifier")
