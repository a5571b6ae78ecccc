package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/pipeline"
)

func explainCommand() *cobra.Command {
	var program string
	c := &cobra.Command{
		Use:   "explain IN.o OUT.o",
		Short: "Show the rewrites between an object and its optimized form",
		Long: `Shows, from the certificate beside OUT.o, each rewrite of each changed function
(or of one, with --program) with the code before and after.`,
		Example: `  superbpf explain xdp.o xdp.opt.o --program xdp_main`,
		Args:    exactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			in, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			out, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			o, err := elf.Read(in)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			cert, err := readCertificate(args[1]+".cert.json", args[1], in, out)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s.cert.json is missing: 'superbpf optimize' writes it beside its output", args[1])
			} else if err != nil {
				return err
			}
			w := c.OutOrStdout()
			shown := 0
			for _, fc := range cert.Functions {
				if program != "" && fc.Name != program {
					continue
				}
				if fc.Index < 0 || fc.Index >= len(o.Functions()) {
					return fmt.Errorf("the certificate names function %d, which the input does not have", fc.Index)
				}
				shown++
				f := o.Functions()[fc.Index]
				fmt.Fprintf(w, "%s: %d rewrites\n", fc.Name, len(fc.Links))
				cur := f
				for k := range fc.Links {
					next, err := fc.Links[k].Decode(f, o.Functions())
					if err != nil {
						return err
					}
					fmt.Fprintf(w, "\n%d. %s: %d -> %d slots\n%s", k+1, fc.Links[k].Transform, cur.Slots(), next.Slots(), pipeline.Diff(cur, next, 3))
					cur = next
				}
				fmt.Fprintln(w)
			}
			if shown == 0 && program != "" {
				return fail(exitUsage, "no rewrites of a function %q", program)
			}
			if shown == 0 {
				fmt.Fprintln(w, "no function was changed")
			}
			return nil
		},
	}
	c.Flags().StringVar(&program, "program", "", "only this function")
	return c
}
