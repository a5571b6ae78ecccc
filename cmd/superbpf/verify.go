package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/pipeline"
)

func verifyCommand() *cobra.Command {
	var solver, certFile string
	c := &cobra.Command{
		Use:   "verify IN.o OUT.o",
		Short: "Prove again that one object may replace another",
		Long: `Proves, from scratch, that each function of OUT.o may replace the function of
the same name in IN.o. The two need not come from superbpf. A certificate
(OUT.o.cert.json, if it is there) gives intermediate bodies; each of its links
is proved again, nothing in it is believed.

Exit code 0: every function is Equal. 3: some function is not, or not known to be.`,
		Example: `  superbpf verify xdp.o xdp.opt.o
  superbpf verify --solver cvc5 xdp.o xdp.opt.o`,
		Args: exactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			in, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			out, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			a, err := elf.Read(in)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			b, err := elf.Read(out)
			if err != nil {
				return fmt.Errorf("%s: %w", args[1], err)
			}
			cert, err := readCertificate(certFile, args[1], in, out)
			if err != nil {
				return err
			}
			v, err := equiv.New(equiv.Options{Solver: solver, Callee: a.Callee})
			if err != nil {
				return err
			}
			defer v.Close()
			res, err := pipeline.VerifyPair(c.Context(), a.Functions(), b.Functions(), cert, prover{v})
			if err != nil {
				return err
			}
			t := tablewriter.NewWriter(c.OutOrStdout())
			t.Header("function", "verdict", "how")
			bad := 0
			for _, r := range res {
				how := r.Proof.Reason
				if len(r.Proof.Assumptions) > 0 {
					how += "; assumes " + strings.Join(r.Proof.Assumptions, ", ")
				}
				if len(how) > 160 {
					how = how[:160] + "..."
				}
				if err := t.Append(r.Name, r.Proof.Verdict, how); err != nil {
					return err
				}
				if !r.Proof.Equal {
					bad++
				}
			}
			if err := t.Render(); err != nil {
				return err
			}
			if bad > 0 {
				return fail(exitUnproved, "%d of %d functions are not proved equal", bad, len(res))
			}
			return nil
		},
	}
	c.Flags().StringVar(&solver, "solver", "auto", "go-z3, z3, cvc5 or auto")
	c.Flags().StringVar(&certFile, "certificate", "", "certificate to use (default: OUT.o.cert.json if it is there)")
	return c
}

// readCertificate finds the certificate of a pair; none is no error unless one
// was named.
func readCertificate(file, outName string, in, out []byte) (*pipeline.Certificate, error) {
	named := file != ""
	if !named {
		file = outName + ".cert.json"
	}
	b, err := os.ReadFile(file)
	if err != nil {
		if !named && os.IsNotExist(err) {
			return nil, nil
		}
		return nil, err
	}
	cert, err := pipeline.ParseCertificate(b, in, out)
	if err != nil {
		if !named {
			return nil, nil // left over from another run
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return cert, nil
}
