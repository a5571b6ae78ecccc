package main

import (
	"context"
	"fmt"
	"io"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/pass"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/search"
)

// optimization is everything that a run of the pipeline needs.
type optimization struct {
	Object     *elf.Object
	Options    pipeline.Options
	SolverName string
	closers    []func()
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

// newOptimization reads an object and prepares the judges.
func newOptimization(ctx context.Context, name string, input []byte, s *settings) (*optimization, error) {
	objective, err := cost.ParseObjective(s.objective)
	if err != nil {
		return nil, fail(exitUsage, "%v", err)
	}
	if s.level < 1 || s.level > 3 {
		return nil, fail(exitUsage, "-O takes 1, 2 or 3, not %d", s.level)
	}
	if s.mcpu < 0 || s.mcpu > 4 {
		return nil, fail(exitUsage, "--mcpu takes 1 to 4, not %d", s.mcpu)
	}
	model, err := s.costModel()
	if err != nil {
		return nil, err
	}
	obj, err := elf.ReadAs(input, s.progType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	obj.InPlace = s.inPlace
	if err := s.checkPrograms(obj); err != nil {
		return nil, err
	}
	o := &optimization{Object: obj}
	gates := s.gates
	if gates == nil {
		if gates, err = openGates(ctx, s.kernels, s.progType, io.Discard); err != nil {
			return nil, err
		}
		o.closers = append(o.closers, gates.Close)
	}
	judges, done, err := gates.Judges()
	if err != nil {
		o.Close()
		return nil, err
	}
	o.closers = append(o.closers, done)
	validator, err := equiv.New(equiv.Options{Solver: s.solver, Callee: obj.Callee})
	if err != nil {
		o.Close()
		return nil, err
	}
	o.closers = append(o.closers, validator.Close)
	analyst, err := equiv.New(equiv.Options{Solver: "none", Callee: obj.Callee})
	if err != nil {
		o.Close()
		return nil, err
	}
	o.SolverName = validator.SolverName()
	disable := map[string]bool{}
	for _, d := range s.disable {
		disable[d] = true
	}
	mcpu := s.mcpu
	if mcpu == 0 {
		mcpu = gates.Level()
	}
	o.Options = pipeline.Options{
		Objective:  objective,
		Model:      model,
		Prover:     prover{validator},
		Gates:      judges,
		Budget:     s.budget,
		Transforms: pass.All(pass.Config{MCPU: mcpu, Validator: analyst, Disable: disable}),
		Only:       map[string]bool{},
	}
	if o.Options.Search, err = s.chains(analyst, model, objective, mcpu, disable); err != nil {
		o.Close()
		return nil, err
	}
	for _, p := range s.programs {
		o.Options.Only[p] = true
	}
	return o, nil
}

// chains are the Markov chains of an effort level: a short one with K2's
// setting 3 at -O2, long ones with all its settings at -O3.
func (s *settings) chains(v *equiv.Validator, model *cost.Model, o cost.Objective, mcpu int, disable map[string]bool) ([]pipeline.Transform, error) {
	names, steps, restarts := []string{}, 20_000, 1
	switch s.level {
	case 2:
		names = []string{"3"}
	case 3:
		steps, restarts = 300_000, 3
		for _, p := range search.Published {
			names = append(names, p.Name)
		}
	}
	if s.chain != "" {
		names = []string{s.chain}
	}
	if disable["chain"] {
		names = nil
	}
	var out []pipeline.Transform
	for i, n := range names {
		set, err := search.Setting(n)
		if err != nil {
			return nil, fail(exitUsage, "%v", err)
		}
		out = append(out, &search.Chain{Settings: set, Validator: v, Model: model, Objective: o, MCPU: mcpu,
			Seed: uint64(s.seed) + uint64(i), Steps: steps, Restarts: restarts})
	}
	return out, nil
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
	r := p.v.Func(ctx, a, b)
	return pipeline.Proof{Equal: r.Verdict == equiv.Equal, Verdict: r.Verdict.String(), Reason: r.Reason, Assumptions: r.Assumptions}
}
