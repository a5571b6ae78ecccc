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

// Model holds calibrated prices in nanoseconds. Names are isa row names and
// helper names.
type Model struct {
	// Kernel and CPU say where the prices were measured, Assumed which prices
	// were not.
	Kernel, CPU string
	Assumed     []string `json:",omitempty"`
	Insn        map[string]float64
	// Helper prices calls by name, or by "name:maptype" where the map decides;
	// "*" is for the rest.
	Helper map[string]float64
	// Kind prices rows without an entry of their own.
	Kind map[string]float64
	// CalleeSaved is one push and pop; StackFrame the frame set-up if any
	// stack is used; TakenBranch what a branch costs more where it is taken.
	CalleeSaved, StackFrame, TakenBranch float64
	// LongConst is what a constant of 64 bits costs beyond one of 32.
	LongConst float64
	// Forward is the wait of a load for several stores, or for one of a part of
	// what it reads: see Waits.
	Forward float64
	// Slot is how much longer a slot takes when its code comes from the second
	// cache instead of the first.
	Slot float64
	// Spread is how far prices that measurements refined may still be off, as a
	// share of the price: see Refine. Refined counts these measurements.
	Spread  map[string]float64 `json:",omitempty"`
	Refined int                `json:",omitempty"`
	// Unweighted makes the model K2's: a plain sum of the average prices of all
	// instructions, however often they run, without prologue or map types.
	Unweighted bool `json:"-"`
	byOp       []float64
}

//go:embed default.json
var defaultJSON []byte

// Default is the model shipped with the program, measured by `superbpf
// calibrate` on the machine that it names.
func Default() *Model {
	m, err := parse(defaultJSON)
	if err != nil {
		panic("cost: default.json: " + err.Error())
	}
	return m
}

// Unweighted is the default model used as K2 uses its latency table.
func Unweighted() *Model {
	m := Default()
	m.Unweighted = true
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

// assumedSlot is the price of a slot in models that have none.
const assumedSlot = 0.07

// assumedForward is the wait for stores in models that have none.
const assumedForward = 3

func parse(b []byte) (*Model, error) {
	m := &Model{Slot: assumedSlot, Forward: assumedForward}
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
			p, ok = m.Kind[KindKey(&r)]
		}
		if r.Kind == isa.KindNop {
			continue
		}
		if !ok || p <= 0 || math.IsNaN(p) || math.IsInf(p, 0) {
			return fmt.Errorf("no price for %s (kind %s)", r.Name, KindKey(&r))
		}
		m.byOp[r.Op] = p
	}
	return nil
}

// KindKey is the price class of a row that has no price of its own.
func KindKey(r *isa.Row) string {
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

// One is the price of a single instruction in nanoseconds, without what the
// function that it calls takes.
func (m *Model) One(in *prog.Insn) float64 {
	p := m.byOp[in.Op]
	if in.Row().Kind == isa.KindLoadImm && (in.Ref != nil || uint64(in.Imm)>>32 != 0) {
		p += m.LongConst
	}
	return p
}

// helper is what the helper that instruction k calls takes, zero if k calls
// none.
func (m *Model) helper(f *prog.Func, k int) float64 {
	if f.Insns[k].Row().Kind != isa.KindCallHelper {
		return 0
	}
	return m.Helper[m.helperKey(f, k)]
}

// helperKey is the entry of Helper that prices the call at k.
func (m *Model) helperKey(f *prog.Func, k int) string {
	h := isa.HelperOf(int32(f.Insns[k].Imm))
	for a, kind := range h.Args {
		if kind != isa.ArgMap || m.Unweighted {
			continue
		}
		if d := mapIn(f, k, isa.R1+isa.Reg(a)); d != nil {
			if key := h.Name + ":" + d.Type.String(); has(m.Helper, key) {
				return key
			}
		}
	}
	if has(m.Helper, h.Name) {
		return h.Name
	}
	return "*"
}

func has(prices map[string]float64, key string) bool { _, ok := prices[key]; return ok }

// mapIn finds the map that register r holds before instruction k, following
// copies backwards through the text. Joins on the way are ignored: a price
// needs no proof.
func mapIn(f *prog.Func, k int, r isa.Reg) *prog.Map {
	for k--; k >= 0; k-- {
		in := &f.Insns[k]
		if !in.Def().Has(r) {
			continue
		}
		row := in.Row()
		switch {
		case row.Kind == isa.KindLoadImm && in.Ref != nil && in.Ref.Kind == prog.RefMap:
			return in.Ref.Map
		case row.Kind == isa.KindALU && row.Fn == isa.FnMov && !row.Imm:
			r = in.Src
		default:
			return nil
		}
	}
	return nil
}
