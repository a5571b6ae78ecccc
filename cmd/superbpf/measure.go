package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/measure/mapstate"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/traffic"
)

func measureCommand() *cobra.Command {
	var program, pcap string
	var seed int64
	var packets, context int
	var quick bool
	var mapFiles []string
	c := &cobra.Command{
		Use:   "measure A.o B.o",
		Short: "Compare two objects: same behaviour, and which is faster",
		Long: `Runs a program of two objects side by side on the same inputs and compares
return values, packets, contexts and the contents of all maps; then times both
with BPF_PROG_TEST_RUN, in random order, with a control. The objects need not
come from superbpf.

Maps start as the objects define them and as --maps says: a YAML file, or
MAP=FILE.json for what 'bpftool map dump -j' printed. Both objects get the same,
anew for every run:

  maps:
    - name: services
      entries:
        - {key: "ip:10.0.0.1 be16:80 pad:2", value: "u32:7"}
    - name: backends
      dump: backends.json

Fields are in memory order: u8 u16 u32 u64, be16 be32 be64, ip, mac, pad (zero
bytes), hex, cookie:N (the cookie of the N-th socket that runs a socket hook).

Exit code 0: same behaviour, B is not slower. 4: B is slower. 5: they differ.`,
		Example: `  sudo superbpf measure old.o new.o
  sudo superbpf measure old.o new.o --program xdp_main --pcap traffic.pcapng
  sudo superbpf measure old.o new.o --maps maps.yaml --maps routes=routes.json`,
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
			states, err := readMaps(mapFiles, args[0], a)
			if err != nil {
				return err
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
				x := measure.FromObject(args[0], a, f.Name, states)
				y := measure.FromObject(args[1], b, f.Name, states)
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
	f.StringArrayVar(&mapFiles, "maps", nil, "what to put into maps: a YAML file, or MAP=FILE.json from bpftool; repeatable")
	f.BoolVar(&quick, "quick", false, "fewer rounds")
	return c
}

// readMaps reads the files of --maps and sees that the object has such maps.
func readMaps(files []string, name string, object []byte) ([]mapstate.State, error) {
	if len(files) == 0 {
		return nil, nil
	}
	states, err := mapstate.ReadFiles(files)
	if err != nil {
		return nil, fail(exitUsage, "--maps: %v", err)
	}
	have, err := loader.MapNames(object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, s := range states {
		if !slices.Contains(have, s.Name) {
			return nil, fail(exitUsage, "--maps: %s has no map %q; it has: %s", name, s.Name, strings.Join(have, ", "))
		}
	}
	return states, nil
}
