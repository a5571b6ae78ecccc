package main

import (
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/superbpf/superbpf/optimizer/pipeline"
)

// jsonResult is what optimize --json prints: one object, fields as documented
// here; sizes of code in 8-byte slots or in bytes as the names say.
type jsonResult struct {
	Input     string         `json:"input"`
	Output    string         `json:"output"`
	Solver    string         `json:"solver"`
	Kernels   []string       `json:"kernels"`
	Stopped   bool           `json:"stopped"` // interrupted: the output is the best so far
	Functions []jsonFunction `json:"functions"`
	Programs  []jsonProgram  `json:"programs"`
	Notes     []string       `json:"notes,omitempty"` // about the output as a whole
}

type jsonFunction struct {
	Name        string   `json:"name"`
	Section     string   `json:"section"`
	Program     bool     `json:"program"` // false: a subprogram
	SlotsBefore int      `json:"slots_before"`
	SlotsAfter  int      `json:"slots_after"`
	NanosBefore float64  `json:"estimated_ns_before"`
	NanosAfter  float64  `json:"estimated_ns_after"`
	Steps       []string `json:"steps"` // the transform of each proved step
	Assumes     []string `json:"assumes,omitempty"`
	LeftAlone   string   `json:"left_alone,omitempty"`
	Uncalled    bool     `json:"uncalled,omitempty"`
	Work        int64    `json:"work"`          // steps of the budget that were spent
	OutOfBudget bool     `json:"out_of_budget"` // the search ended with the budget
	Measured    string   `json:"measured,omitempty"`
	// Moves are the proposals of the Markov chains: where there were any.
	Moves []jsonMove `json:"moves,omitempty"`
}

// jsonMove says what became of one kind of proposal: proposed is the sum of
// no_change, registers, price, tests (these refused it) and taken.
type jsonMove struct {
	Search    string `json:"search"`
	Move      string `json:"move"`
	Proposed  int    `json:"proposed"`
	NoChange  int    `json:"no_change"` // it found nothing to change
	Registers int    `json:"registers"` // reads an empty register, or leaves one empty
	Price     int    `json:"price"`     // the price alone was too high
	Tests     int    `json:"tests"`     // too far off on the tests
	Taken     int    `json:"taken"`
	Better    int    `json:"better"` // of those taken: right on all tests, and the cheapest so far
}

type jsonProgram struct {
	Name          string `json:"name"`
	Accepted      bool   `json:"accepted"` // the input, by a kernel asked; the figures are those of the first that does
	Reason        string `json:"reason,omitempty"`
	XlatedBefore  int    `json:"xlated_bytes_before,omitempty"`
	XlatedAfter   int    `json:"xlated_bytes_after,omitempty"`
	JitedBefore   int    `json:"jited_bytes_before,omitempty"`
	JitedAfter    int    `json:"jited_bytes_after,omitempty"`
	VerifiedFirst int    `json:"verified_insns_before,omitempty"`
	VerifiedThen  int    `json:"verified_insns_after,omitempty"`
	// Bytes of the frames of the program and of its subprograms.
	StackBefore []int        `json:"stack_bytes_before,omitempty"`
	StackAfter  []int        `json:"stack_bytes_after,omitempty"`
	Kernels     []jsonKernel `json:"kernels"`
}

// jsonKernel is a kernel's word about a program: one that refuses the input
// judges nothing.
type jsonKernel struct {
	Name          string `json:"name"`
	Accepted      bool   `json:"accepted"`
	Kind          string `json:"kind,omitempty"`
	Reason        string `json:"reason,omitempty"`
	VerifiedFirst int    `json:"verified_insns_before,omitempty"`
	VerifiedThen  int    `json:"verified_insns_after,omitempty"`
}

// writeJSON prints a result for programs to read.
func writeJSON(w io.Writer, in, out string, opt *optimization, res *pipeline.Result) error {
	j := jsonResult{Input: in, Output: out, Solver: opt.SolverName, Kernels: opt.GateNames(), Stopped: res.Stopped, Notes: res.Notes,
		Functions: []jsonFunction{}, Programs: []jsonProgram{}}
	for k := range res.Functions {
		fr := &res.Functions[k]
		f := jsonFunction{Name: fr.Name, Section: fr.Section, Program: fr.Entry, SlotsBefore: fr.Before.Slots, SlotsAfter: fr.After.Slots,
			NanosBefore: fr.Before.Total(), NanosAfter: fr.After.Total(), Steps: []string{}, Measured: fr.Measured, Work: fr.Spent, OutOfBudget: fr.Cut}
		if fr.Skipped != "" {
			f.LeftAlone = whyLeft(fr, res)
		}
		f.Uncalled = fr.Uncalled
		for _, t := range slices.Sorted(maps.Keys(fr.Stats)) {
			for _, m := range fr.Stats[t].Moves {
				f.Moves = append(f.Moves, jsonMove{t, m.Move, m.Proposed, m.Void, m.Registers, m.Price, m.Tests, m.Taken, m.Better})
			}
		}
		seen := map[string]bool{}
		for _, s := range fr.Steps {
			f.Steps = append(f.Steps, s.Transform)
			for _, a := range s.Proof.Assumptions {
				if !seen[a] {
					f.Assumes = append(f.Assumes, a)
				}
				seen[a] = true
			}
		}
		j.Functions = append(j.Functions, f)
	}
	for _, p := range res.Programs {
		q := jsonProgram{Name: p.Name, Accepted: p.Before.Accepted, Reason: p.Before.Reason, XlatedBefore: p.Before.XlatedBytes, XlatedAfter: p.After.XlatedBytes,
			JitedBefore: p.Before.JitedBytes, JitedAfter: p.After.JitedBytes, VerifiedFirst: p.Before.VerifiedInsns, VerifiedThen: p.After.VerifiedInsns,
			StackBefore: p.Before.Stack, StackAfter: p.After.Stack}
		for _, k := range p.Kernels {
			q.Kernels = append(q.Kernels, jsonKernel{k.Name, k.Before.Accepted, k.Before.Kind, k.Before.Reason, k.Before.VerifiedInsns, k.After.VerifiedInsns})
		}
		j.Programs = append(j.Programs, q)
	}
	return printJSON(w, j)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
