package cost

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Shares says how often a function's time pays each of the model's prices in one
// run. The sum of shares times prices is the time that Func gives. Keys are the
// prices' names: "insn NAME", "helper NAME", and those below.
type Shares map[string]float64

const (
	keyInsn   = "insn "
	keyHelper = "helper "
	keySaved  = "callee-saved"
	keyFrame  = "stack frame"
	keyTaken  = "taken branch"
	keyLong   = "long constant"
	keyWait   = "wait for stores"
)

// Shares splits up Func's time; weights are as there.
func (m *Model) Shares(f *prog.Func, weights []float64) Shares {
	s := Shares{}
	if m.Unweighted {
		weights = nil
	}
	e := m.Func(f, weights)
	entry := 1.0
	if len(weights) > 0 {
		entry = weights[0]
	}
	for k, n := range TakenBranches(f, weightsOf(f, weights)) {
		if weights != nil {
			s[keyTaken] += n
		}
		in := &f.Insns[k]
		row := in.Row()
		w := 1.0
		if weights != nil {
			w = weights[k]
		}
		if row.Kind == isa.KindNop || row.Kind == isa.KindExit || row.Kind == isa.KindJump && leaves(f, in.Target) {
			continue
		}
		s[keyInsn+row.Name] += w
		if row.Kind == isa.KindLoadImm && (in.Ref != nil || uint64(in.Imm)>>32 != 0) {
			s[keyLong] += w
		}
		if row.Kind == isa.KindCallHelper {
			s[keyHelper+m.helperKey(f, k)] += w
		}
	}
	if m.Unweighted {
		return s
	}
	for _, w := range Waits(f, weights) {
		s[keyWait] += w.Runs
	}
	s[keyInsn+isa.RowOf(isa.Exit).Name] += entry
	s[keySaved] += entry * float64(e.CalleeSaved)
	if e.StackBytes > 0 {
		s[keyFrame] += entry
	}
	return s
}

func weightsOf(f *prog.Func, weights []float64) []float64 {
	if weights == nil {
		return make([]float64, len(f.Insns))
	}
	return weights
}

// The model's own error: prices may be off by priorSpread of themselves, but by no
// less than leastSpread and leastDoubt (ns) however much was measured; what a sum of prices cannot know
// (instructions that run side by side) is misfit of the predicted change, and at
// least leastMisfit, in ns.
const (
	priorSpread = 0.3
	leastSpread = 0.03
	leastDoubt  = 0.02
	misfit      = 0.25
	leastMisfit = 0.1
	leastPrice  = 1e-3 // ns
	mostSigmas  = 4
)

// Refine moves the prices towards a measured change of time: a function that paid
// the shares before pays the shares after, and takes measured ns more for it (less,
// if negative), give or take sd. It is a step of a Kalman filter with one variance
// a price: prices share the surprise by how uncertain they are and how much of them
// the change is about, and become more certain.
func (m *Model) Refine(before, after Shares, measured, sd float64) error {
	if math.IsNaN(measured) || math.IsInf(measured, 0) || !(sd >= 0) || math.IsInf(sd, 0) {
		return nil // no measurement
	}
	predicted, variance := 0.0, 0.0
	change := Shares{}
	for key := range before {
		change[key] -= before[key]
	}
	for key := range after {
		change[key] += after[key]
	}
	keys := slices.Sorted(maps.Keys(change)) // sums in one order give one result
	for _, key := range keys {
		n, p := change[key], m.price(key)
		predicted += n * p
		variance += n * n * m.variance(key, p)
	}
	noise := sd*sd + leastMisfit*leastMisfit + misfit*misfit*predicted*predicted
	if variance == 0 {
		return nil
	}
	// A measurement that went wrong must not carry the prices away.
	far := mostSigmas * math.Sqrt(variance+noise)
	surprise := max(-far, min(far, measured-predicted))
	for _, key := range keys {
		n, p := change[key], m.price(key)
		if n == 0 {
			continue
		}
		v := m.variance(key, p)
		gain := v * n / (variance + noise)
		now := max(leastPrice, p+gain*surprise)
		m.setPrice(key, now)
		if m.Spread == nil {
			m.Spread = map[string]float64{}
		}
		m.Spread[key] = min(priorSpread, max(leastSpread, math.Sqrt(max(0, v*(1-gain*n)))/now))
	}
	m.Refined++
	return m.Init()
}

// variance is how far a price may be off, squared.
func (m *Model) variance(key string, price float64) float64 {
	spread, ok := m.Spread[key]
	if !ok {
		spread = priorSpread
	}
	sd := max(spread*price, leastDoubt)
	return sd * sd
}

func (m *Model) price(key string) float64 {
	switch key {
	case keySaved:
		return m.CalleeSaved
	case keyFrame:
		return m.StackFrame
	case keyTaken:
		return m.TakenBranch
	case keyLong:
		return m.LongConst
	case keyWait:
		return m.Forward
	}
	if name, ok := strings.CutPrefix(key, keyHelper); ok {
		return m.Helper[name]
	}
	return m.byOp[isa.ByName(strings.TrimPrefix(key, keyInsn))]
}

func (m *Model) setPrice(key string, p float64) {
	switch key {
	case keySaved:
		m.CalleeSaved = p
	case keyFrame:
		m.StackFrame = p
	case keyTaken:
		m.TakenBranch = p
	case keyLong:
		m.LongConst = p
	case keyWait:
		m.Forward = p
	default:
		if name, ok := strings.CutPrefix(key, keyHelper); ok {
			m.Helper[name] = p
		} else if name, ok := strings.CutPrefix(key, keyInsn); ok {
			m.Insn[name] = p
		}
	}
}
