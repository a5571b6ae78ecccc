// Package cost prices functions: slots, estimated latency, and what the
// kernel runs after its own rewriting.
//
// Invariant: every instruction row has a price above zero but the no-op, and a
// price depends on nothing except the instruction, the model and the weights.
//
// To add a cost, add a field to Estimate, fill it in Model.Func, and give
// Objective a case in Less.
package cost

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"os"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Objective is what the search lowers.
type Objective uint8

// The objectives.
const (
	Latency    Objective = iota // estimated nanoseconds a run, then slots
	Size                        // slots, then latency
	Complexity                  // instructions that the verifier processes, then slots
)

// ParseObjective reads an objective's name.
func ParseObjective(s string) (Objective, error) {
	switch s {
	case "latency", "":
		return Latency, nil
	case "size":
		return Size, nil
	case "complexity":
		return Complexity, nil
	}
	return 0, fmt.Errorf("unknown objective %q: latency, size or complexity", s)
}

func (o Objective) String() string { return [...]string{"latency", "size", "complexity"}[o] }

// Estimate is the price of a function.
type Estimate struct {
	Slots int
	// Nanoseconds is the expected time of one run under the weights given.
	Nanoseconds float64
	// CalleeSaved is the number of callee-saved registers the JIT must push.
	CalleeSaved int
	// StackBytes is the deepest stack offset used, 0 to 512.
	StackBytes int
	// Locked counts locked atomic instructions.
	Locked int
}

// Less reports whether a is better than b under o. Differences in time below
// a thousandth of a nanosecond do not count.
func (o Objective) Less(a, b Estimate) bool {
	const eps = 1e-3
	faster := a.Nanoseconds < b.Nanoseconds-eps
	slower := a.Nanoseconds > b.Nanoseconds+eps
	if o == Latency {
		if faster || slower {
			return faster
		}
		return a.Slots < b.Slots
	}
	if a.Slots != b.Slots {
		return a.Slots < b.Slots
	}
	return faster
}

// Model holds calibrated prices in nanoseconds. Names are isa row names and
// helper names.
type Model struct {
	// Kernel and CPU say where the prices were measured.
	Kernel, CPU string
	Insn        map[string]float64
	Helper      map[string]float64
	// Kind prices rows without an entry of their own.
	Kind map[string]float64
	// CalleeSaved is one push and pop; StackFrame the frame set-up if any
	// stack is used; TakenBranch is added to a branch weighed as taken.
	CalleeSaved, StackFrame, TakenBranch float64
	byOp                                 []float64
}

//go:embed default.json
var defaultJSON []byte

// Default is the model shipped with the program, measured by `superbpf
// calibrate` on Linux 6.18 on x86-64.
func Default() *Model {
	m, err := parse(defaultJSON)
	if err != nil {
		panic("cost: default.json: " + err.Error())
	}
	return m
}

// Read loads a model that `superbpf calibrate` wrote.
func Read(path string) (*Model, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parse(b []byte) (*Model, error) {
	m := new(Model)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, err
	}
	return m, m.Init()
}

// Init checks the model and prepares it for use; call it after filling one in.
func (m *Model) Init() error {
	m.byOp = make([]float64, isa.NumOps())
	for _, r := range isa.Rows() {
		p, ok := m.Insn[r.Name]
		if !ok {
			p, ok = m.Kind[kindKey(&r)]
		}
		if r.Kind == isa.KindNop {
			continue
		}
		if !ok || p <= 0 || math.IsNaN(p) || math.IsInf(p, 0) {
			return fmt.Errorf("no price for %s (kind %s)", r.Name, kindKey(&r))
		}
		m.byOp[r.Op] = p
	}
	return nil
}

// kindKey is the price class of a row that has no price of its own.
func kindKey(r *isa.Row) string {
	switch r.Kind {
	case isa.KindALU:
		switch r.Fn {
		case isa.FnDiv, isa.FnMod, isa.FnSDiv, isa.FnSMod:
			return "div"
		case isa.FnMul:
			return "mul"
		}
		return "alu"
	case isa.KindLoadImm:
		return "lddw"
	case isa.KindLoad:
		return "load"
	case isa.KindStore:
		return "store"
	case isa.KindAtomic:
		if r.Fn == isa.FnLoadAcq || r.Fn == isa.FnStoreRel {
			return "load"
		}
		return "atomic"
	case isa.KindJump, isa.KindMayGoto:
		return "jump"
	case isa.KindCondJump:
		return "branch"
	case isa.KindExit:
		return "exit"
	case isa.KindAddrCast:
		return "alu"
	case isa.KindNop:
		return "nop"
	}
	return "call"
}

// One is the price of a single instruction in nanoseconds.
func (m *Model) One(in *prog.Insn) float64 {
	p := m.byOp[in.Op]
	if in.Row().Kind == isa.KindCallHelper {
		h := isa.HelperOf(int32(in.Imm))
		if hp, ok := m.Helper[h.Name]; ok {
			return p + hp
		}
		return p + m.Helper["*"]
	}
	return p
}

// Func prices f. weights gives the expected number of executions of each
// instruction in one run; nil counts each once.
func (m *Model) Func(f *prog.Func, weights []float64) Estimate {
	e := Estimate{Slots: f.Slots()}
	var saved isa.RegSet
	for k := range f.Insns {
		in := &f.Insns[k]
		if in.Op == isa.Nop {
			continue
		}
		w := 1.0
		if weights != nil {
			w = weights[k]
		}
		row := in.Row()
		if row.Kind == isa.KindExit {
			w = 0 // a run leaves once, by whichever exit
		}
		e.Nanoseconds += w * m.One(in)
		if row.Kind == isa.KindAtomic && row.Store != nil && row.Fn != isa.FnStoreRel {
			e.Locked++
		}
		saved |= in.Def() & isa.CalleeSaved
		if off := stackOffset(in); off > e.StackBytes {
			e.StackBytes = off
		}
	}
	for r := isa.R6; r <= isa.R9; r++ {
		if saved.Has(r) {
			e.CalleeSaved++
		}
	}
	e.Nanoseconds += m.byOp[isa.Exit] + float64(e.CalleeSaved)*m.CalleeSaved
	if e.StackBytes > 0 {
		e.Nanoseconds += m.StackFrame
	}
	return e
}

// stackOffset is how deep below the frame pointer a direct access reaches.
func stackOffset(in *prog.Insn) int {
	row := in.Row()
	switch row.Kind {
	case isa.KindStore, isa.KindAtomic:
		if in.Dst == isa.FP {
			return -int(in.Off)
		}
	case isa.KindLoad:
		if in.Src == isa.FP {
			return -int(in.Off)
		}
	case isa.KindALU:
		if row.Fn == isa.FnAdd && row.Imm && in.Imm < 0 && in.Imm >= -isa.StackSize {
			return 0 // an address: its accesses are priced where they happen
		}
	}
	return 0
}
