package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/traffic"
)

func measureCommand() *cobra.Command {
	var program, pcap string
	var seed int64
	var packets, context int
	var quick bool
	c := &cobra.Command{
		Use:   "measure A.o B.o",
		Short: "Compare two objects: same behaviour, and which is faster",
		Long: `Runs a program of two objects side by side on the same inputs and compares
return values, packets, contexts and the contents of all maps; then times both
with BPF_PROG_TEST_RUN, in random order, with a control. The objects need not
come from superbpf.

Exit code 0: same behaviour, B is not slower. 4: B is slower. 5: they differ.`,
		Example: `  sudo superbpf measure old.o new.o
  sudo superbpf measure old.o new.o --program xdp_main --pcap traffic.pcapng`,
		Args: exactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			b, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			obj, err := elf.Read(a)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if _, err := elf.Read(b); err != nil {
				return fmt.Errorf("%s: %w", args[1], err)
			}
			var in []measure.Input
			if context > 0 {
				in = measure.Contexts(traffic.Contexts(uint64(seed), packets, context))
			} else if in, err = inputs(pcap, uint64(seed), packets); err != nil {
				return err
			}
			worst, ran := 0, 0
			for _, f := range obj.Functions() {
				if !f.Entry || program != "" && f.Name != program {
					continue
				}
				ran++
				x := measure.FromObject(args[0], a, f.Name, nil)
				y := measure.FromObject(args[1], b, f.Name, nil)
				o := measure.CompareOptions{Differ: measure.DifferOptions{Inputs: in}}
				if paths, err := measure.Representatives(c.Context(), x, in, 6); err == nil {
					o.Latency = measure.LatencyOptions{Inputs: paths, Seed: uint64(seed)}
					if quick {
						o.Latency = measure.Quick(o.Latency)
					}
				}
				cmp, err := measure.Compare(c.Context(), x, y, o)
				if err != nil {
					return fmt.Errorf("%s: %w", f.Name, err)
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", f.Name, cmp)
				worst = max(worst, cmp.ExitCode())
			}
			switch {
			case ran == 0:
				return fail(exitUsage, "%s has no program %q", args[0], program)
			case worst == exitSlower:
				return fail(exitSlower, "%s is slower", args[1])
			case worst == exitDifferent:
				return fail(exitDifferent, "%s behaves differently", args[1])
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&program, "program", "", "only this program")
	f.StringVar(&pcap, "pcap", "", "packets to run on (pcap or pcapng)")
	f.IntVar(&packets, "packets", 20_000, "inputs for the comparison of behaviour")
	f.IntVar(&context, "context", 0, "bytes of random context to run on, for programs that take no packet")
	f.Int64Var(&seed, "seed", 1, "seed of every random choice")
	f.BoolVar(&quick, "quick", false, "fewer rounds")
	return c
}
