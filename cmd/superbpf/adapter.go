package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/pass"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/profile"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/rules"
	"github.com/superbpf/superbpf/optimizer/search"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// optimization is everything that a run of the pipeline needs.
type optimization struct {
	Object     *elf.Object
	Options    pipeline.Options
	SolverName string
	// AllowAtomics: see settings.
	AllowAtomics bool
	closers      []func()
}

func (o *optimization) Close() {
	for i := len(o.closers) - 1; i >= 0; i-- {
		o.closers[i]()
	}
}

// GateNames lists the kernels that judge.
func (o *optimization) GateNames() []string {
	var out []string
	for _, g := range o.Options.Gates {
		out = append(out, g.Name())
	}
	return out
}

// newOptimization reads an object and prepares the judges. How often code runs
// is guessed from its shape.
func newOptimization(ctx context.Context, name string, input []byte, s *settings) (*optimization, error) {
	return optimizationUnder(ctx, name, input, s, profile.Traffic{})
}

// read checks the settings and reads an object under them.
func (s *settings) read(name string, input []byte) (*elf.Object, error) {
	if _, err := cost.ParseObjective(s.objective); err != nil {
		return nil, fail(exitUsage, "%v", err)
	}
	if s.level < 1 || s.level > 3 {
		return nil, fail(exitUsage, "-O takes 1, 2 or 3, not %d", s.level)
	}
	if !(s.steps >= 0 && s.steps <= maxSteps) {
		return nil, fail(exitUsage, "--steps takes millions of steps up to %g, not %g", maxSteps, s.steps)
	}
	if s.budget < 0 || s.total < 0 {
		return nil, fail(exitUsage, "--budget and --total-budget take a time such as 30s, none below 0")
	}
	obj, err := elf.ReadAs(input, s.progType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	obj.InPlace = s.inPlace
	return obj, s.checkPrograms(obj)
}

// optimizationUnder is newOptimization with the traffic that decides which paths
// matter.
func optimizationUnder(ctx context.Context, name string, input []byte, s *settings, t profile.Traffic) (*optimization, error) {
	obj, err := s.read(name, input)
	if err != nil {
		return nil, err
	}
	objective, err := cost.ParseObjective(s.objective)
	if err != nil {
		return nil, err
	}
	model, err := s.costModel()
	if err != nil {
		return nil, err
	}
	o := &optimization{Object: obj, AllowAtomics: s.allowAtomics()}
	gates := s.gates
	if gates == nil {
		if gates, err = openGates(ctx, s.kernels, s.progType, io.Discard); err != nil {
			return nil, err
		}
		o.closers = append(o.closers, gates.Close)
	}
	judges, done, err := gates.Judges(input)
	if err != nil {
		o.Close()
		return nil, err
	}
	o.closers = append(o.closers, done)
	if o.AllowAtomics && s.preserve {
		o.Close()
		return nil, fail(exitUsage, "--allow-atomics changes accesses that --preserve-shared keeps: choose one")
	}
	validator, err := equiv.New(equiv.Options{Solver: s.solver, Limits: smt.Limits{Steps: solverSteps[s.level]}, Callee: obj.Callee, AllowAtomics: o.AllowAtomics, PreserveShared: s.preserve, Places: true})
	if err != nil {
		o.Close()
		return nil, err
	}
	o.closers = append(o.closers, validator.Close)
	// The passes go by the values that proofs start from.
	analyst := validator
	if o.AllowAtomics { // values are those of plain accesses
		if analyst, err = equiv.New(equiv.Options{Solver: "none", Callee: obj.Callee}); err != nil {
			o.Close()
			return nil, err
		}
	}
	o.SolverName = validator.SolverName()
	disable := map[string]bool{}
	for _, d := range s.disable {
		if !slices.Contains(pass.Names(), d) && !slices.Contains(engines, d) {
			o.Close()
			return nil, fail(exitUsage, "--disable: no transform %q; there are %s", d, strings.Join(append(pass.Names(), engines...), " "))
		}
		disable[d] = true
	}
	if s.inPlace {
		disable[pass.Inline] = true // there is no room to grow into
	}
	mcpu := int(s.mcpu)
	if mcpu == 0 {
		mcpu = gates.Level()
	}
	weights := profile.Of(obj.Functions(), obj.Callee, t)
	weigh := weights.Carrier()
	o.Options = pipeline.Options{
		Objective: objective,
		Model:     model,
		Prover:    prover{validator},
		Gates:     judges,
		Budget:    pipeline.Budget{Steps: s.stepsOf, Wall: s.budget},
		Total:     pipeline.Budget{Steps: s.totalSteps, Wall: s.total},
		Explore:   exploring[s.level],
		Seed:      uint64(s.seed),
		Only:      map[string]bool{},
		Weights:   func(f *prog.Func) []float64 { return weights[f] },
	}
	if disable[orders] {
		o.Options.Explore = 0
	}
	if !disable["passes"] {
		timed := model
		if objective != cost.Latency {
			timed = nil
		}
		o.Options.Transforms = pass.All(pass.Config{MCPU: mcpu, Validator: analyst, Weights: weigh, Model: timed, Callers: obj.Callers, AllowAtomics: o.AllowAtomics, Disable: disable})
	}
	if !disable["rules"] {
		set, err := rules.WithStore(s.ruleStore)
		if err != nil {
			o.Close()
			return nil, err
		}
		o.Options.Transforms = append(o.Options.Transforms, &search.Rewrite{Finder: set, MCPU: mcpu})
	}
	if s.level >= 2 && !disable["enumeration"] {
		e := &search.Enumeration{Enumerator: &search.Enumerator{MCPU: mcpu}, Budget: enumerationSteps}
		o.Options.Search = []pipeline.Transform{&search.Rewrite{Finder: e, MCPU: mcpu}}
	}
	walks, err := s.walks()
	if err != nil {
		o.Close()
		return nil, err
	}
	if len(walks) > 0 && !disable["chain"] {
		o.Options.Last = []pipeline.Transform{&search.Chain{Settings: walks, Weights: weigh, Validator: analyst, Model: model, Objective: objective,
			MCPU: mcpu, Seed: uint64(s.seed), Steps: 100_000, Rounds: chainRounds}}
	}
	for _, p := range s.programs {
		o.Options.Only[p] = true
	}
	return o, nil
}

// solverSteps bounds a question to the solver, in its own units, by effort: zero for
// smt.DefaultLimits. Hardly any is answered at all that is not answered early.
var solverSteps = [...]uint32{1: 200_000, 3: 0}

// exploring is the number of other orders of passes that are tried, by effort.
var exploring = [...]int{2: 30, 3: 1000}

// enumerationSteps bounds the enumeration in one function: some seconds.
const enumerationSteps = 30_000_000

// chainRounds is more than any budget allows: at -O3 the chain goes on until
// the budget ends.
const chainRounds = 1000

// walks are the settings of Markov chains to run: all of K2's at -O3, and the one
// that was asked for.
func (s *settings) walks() ([]search.Settings, error) {
	if s.chain != "" {
		set, err := search.Setting(s.chain)
		if err != nil {
			return nil, fail(exitUsage, "%v", err)
		}
		return []search.Settings{set}, nil
	}
	if s.level >= 3 {
		return search.Published, nil
	}
	return nil, nil
}

func (s *settings) checkPrograms(obj *elf.Object) error {
	for _, p := range s.programs {
		found := false
		for _, f := range obj.Functions() {
			found = found || f.Name == p
		}
		if !found {
			names := ""
			for _, f := range obj.Functions() {
				names += " " + f.Name
			}
			return fail(exitUsage, "the object has no function %q; it has:%s", p, names)
		}
	}
	return nil
}

// prover lets the pipeline ask the validator.
type prover struct{ v *equiv.Validator }

func (p prover) Prove(ctx context.Context, a, b *prog.Func) pipeline.Proof {
	return proofOf(p.v.Func(ctx, a, b))
}

func (p prover) ProveWhole(ctx context.Context, a, b *prog.Func) pipeline.Proof {
	return proofOf(p.v.Whole(ctx, a, b))
}

func proofOf(r equiv.Result) pipeline.Proof {
	return pipeline.Proof{Equal: r.Verdict == equiv.Equal, Verdict: r.Verdict.String(), Reason: r.Reason, Assumptions: r.Assumptions, Places: r.Places, Alone: r.Alone}
}
