package main

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/optimizer/smt"
)

func probeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "probe",
		Short:   "Show what this host can do, and what is missing",
		Example: `  sudo superbpf probe`,
		Args:    exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			h := loader.ProbeHost()
			t := tablewriter.NewWriter(c.OutOrStdout())
			t.Header("what", "state", "remedy")
			row := func(what, state, remedy string) { t.Append(what, state, remedy) }
			row("kernel", h.Kernel, "")
			row("processor", fmt.Sprint(h.CPU), "")
			row("JIT", fmt.Sprint(h.JIT), "")
			if loader.HasPMU() {
				row("PMU", "there", "")
			} else {
				row("PMU", "none", "cycle counts need a host, or a virtual machine, with performance counters")
			}
			if clang, err := benchmarks.Clang(); err == nil {
				row("clang", clang, "")
			} else {
				row("clang", "missing", "apt-get install clang-19")
			}
			var found, lacking []string
			for _, n := range smt.Names() {
				ctx := smt.NewCtx(smt.Options{})
				if s, err := smt.Open(ctx, n); err == nil {
					found = append(found, n)
					s.Close()
				} else {
					lacking = append(lacking, n)
				}
			}
			remedy := ""
			if len(lacking) > 0 {
				remedy = strings.Join(lacking, ", ") + ": apt-get install z3 cvc5; go-z3 comes with ./run.sh build"
			}
			row("solvers", strings.Join(found, ", "), remedy)
			if _, err := exec.LookPath("ip"); err != nil {
				row("ip", "missing", "apt-get install iproute2 (only to look at interfaces)")
			}
			if k, err := loader.NewKernel(); err != nil {
				row("loading programs", "not allowed", err.Error())
			} else {
				k.Close()
			}
			return t.Render()
		},
	}
}
