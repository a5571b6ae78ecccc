package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/cmd/superbpf/calibrate"
	"github.com/superbpf/superbpf/loader"
)

func calibrateCommand() *cobra.Command {
	var out string
	var seed uint64
	c := &cobra.Command{
		Use:   "calibrate",
		Short: "Measure what this machine takes for instructions and helpers",
		Long: `Times straight runs of every instruction, of helpers by map type, of pushes of
callee-saved registers and of stack frames in the running kernel, each against an
empty run with a control, and writes the prices (in nanoseconds) as a cost model
for 'superbpf optimize --cost'. What cannot be measured keeps the price of the
model that the program brings along and is listed as assumed.

It takes about half a minute on a quiet machine.`,
		Example: `  sudo superbpf calibrate -o here.json
  sudo superbpf optimize prog.o -o prog.opt.o --cost here.json`,
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return loader.ErrPrivilege
			}
			m, err := calibrate.Model(c.Context(), calibrate.Options{Seed: seed, Progress: func(done, total int, what string) {
				fmt.Fprintf(c.ErrOrStderr(), "%d of %d, last %s\n", done, total, what)
			}})
			if err != nil {
				return err
			}
			b, err := json.MarshalIndent(m, "", "  ")
			if err != nil {
				return err
			}
			b = append(b, '\n')
			if out == "" {
				_, err = c.OutOrStdout().Write(b)
				return err
			}
			return writeFile(out, b)
		},
	}
	c.AddCommand(calibrateCheckCommand())
	c.Flags().StringVarP(&out, "output", "o", "", "the model to write (default: standard output)")
	c.Flags().Uint64Var(&seed, "seed", 1, "seed of every random choice")
	return c
}
