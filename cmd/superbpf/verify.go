package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/witness"
	"github.com/superbpf/superbpf/traffic"
)

func verifyCommand() *cobra.Command {
	var o verifyOptions
	var asJSON bool
	var kernels []string
	c := &cobra.Command{
		Use:   "verify IN.o OUT.o",
		Short: "Prove again that one object may replace another",
		Long: `Proves, from scratch, that each function of OUT.o may replace its counterpart
in IN.o: the function of the same section and name, or what is left over where
there is only one. The two need not come from superbpf. A certificate
(OUT.o.cert.json, if it is there) gives intermediate bodies; each of its links
is proved again, nothing in it is believed.

A verdict is Equal, Different, Missing, or Unknown with the reason. Programs that
are not proved equal run on generated packets, contexts and map contents; an
input on which they differ is made small and printed, and as root the kernel
runs it, too. Proving needs no root. With --kernels, the verifiers of these kernels
are asked about both objects, too.

Exit code 0: every function is Equal and the maps agree. 3: something is not, or
not known to be, or a kernel that accepts a program of IN.o refuses OUT.o's.`,
		Example: `  superbpf verify xdp.o xdp.opt.o
  superbpf verify gcc.o clang.o --json
  superbpf verify --solver cvc5 xdp.o xdp.opt.o
  sudo superbpf verify --kernels running,6.1 xdp.o xdp.opt.o`,
		Args: exactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			p := newWait(c.ErrOrStderr())
			o.progress = p.say
			r, err := verifyPair(c.Context(), args[0], args[1], o)
			p.finish()
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(c.OutOrStdout(), r)
			} else {
				err = r.write(c.OutOrStdout())
			}
			if err != nil {
				return err
			}
			if n := r.failing(); n > 0 {
				return fail(exitUnproved, "%d of %d functions and maps are not proved equal", n, len(r.Functions)+len(r.Maps))
			}
			if len(kernels) == 0 {
				return nil
			}
			w := c.OutOrStdout()
			if asJSON {
				w = c.ErrOrStderr()
			}
			return verifyLoads(c.Context(), w, c.ErrOrStderr(), kernels, o.progType, args[0], args[1])
		},
	}
	f := c.Flags()
	f.StringVar(&o.solver, "solver", "auto", "go-z3, z3, cvc5 or auto")
	f.StringVar(&o.certificate, "certificate", "", "certificate to use (default: OUT.o.cert.json if it is there)")
	typeFlag(c, &o.progType)
	f.BoolVar(&o.atomics, "allow-atomics", true, "accept that a plain read-modify-write of memory became an atomic operation (not with --preserve-shared)")
	preserveFlag(f, &o.preserve)
	f.IntVar(&o.runs, "runs", 20_000, "inputs to try on programs that are not proved equal; 0 for none")
	f.Int64Var(&o.seed, "seed", 1, "seed of the inputs")
	kernelsFlag(c, &kernels, nil)
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

type verifyOptions struct {
	solver, certificate, progType string
	runs                          int
	atomics, preserve             bool
	seed                          int64
	progress                      func(string)
}

// searchTime bounds the search for an input that shows a difference, for one
// program.
const searchTime = 20 * time.Second

// verifyPair reads, proves, and looks for differences where there is no proof.
func verifyPair(ctx context.Context, inName, outName string, o verifyOptions) (*verifyResult, error) {
	in, a, err := readObject(inName, o.progType)
	if err != nil {
		return nil, err
	}
	out, b, err := readObject(outName, o.progType)
	if err != nil {
		return nil, err
	}
	cert, err := readCertificate(o.certificate, outName, in, out)
	if err != nil {
		return nil, err
	}
	v, err := equiv.New(equiv.Options{Solver: o.solver, Callee: a.Callee, AllowAtomics: o.atomics && !o.preserve, PreserveShared: o.preserve})
	if err != nil {
		return nil, err
	}
	defer v.Close()
	res, extra, err := pipeline.VerifyPair(ctx, a.Functions(), b.Functions(), cert, saying{prover{v}, o.progress})
	if err != nil {
		return nil, err
	}
	r := &verifyResult{First: inName, Second: outName, Solver: v.SolverName(), Maps: compareMaps(a.Maps(), b.Maps())}
	for _, j := range extra {
		r.Extra = append(r.Extra, b.Functions()[j].Name)
	}
	for _, x := range res {
		if x.B >= 0 && a.Functions()[x.A].Unsupported != "" && sameRaw(a, x.A, b, x.B) {
			x.Proof = pipeline.Proof{Equal: true, Verdict: "Equal", Reason: "identical bytes, which are not understood"}
		}
		if !x.Proof.Equal && cert != nil && cert.AllowAtomics && (!o.atomics || o.preserve) {
			x.Proof.Reason += "; its certificate says --allow-atomics, which you did not allow"
		}
		r.Functions = append(r.Functions, verifiedFunction{Name: x.Name, Program: x.Entry, Renamed: x.Renamed, Verdict: x.Proof.Verdict,
			Reason: x.Proof.Reason, Assumes: x.Proof.Assumptions})
	}
	r.callees(a)
	if o.runs <= 0 {
		return r, nil
	}
	packets, err := traffic.Default(uint64(o.seed), 2000)
	if err != nil {
		return nil, err
	}
	for i := range r.Functions {
		f, x := &r.Functions[i], res[i]
		if !x.Entry || x.B < 0 || f.Verdict == "Equal" || a.Functions()[x.A].Unsupported != "" || b.Functions()[x.B].Unsupported != "" {
			continue
		}
		o.progress("looking for an input on which " + f.Name + " differs")
		sctx, cancel := context.WithTimeout(ctx, searchTime)
		w, n, err := witness.Find(sctx, program(a, x.A), program(b, x.B), witness.Options{Runs: o.runs, Packets: packets, Seed: uint64(o.seed)})
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		f.found(w, n, err)
		if w != nil {
			f.Counterexample.confirm(in, out, x.Name, b.Functions()[x.B].Name, o.progType)
		}
	}
	return r, nil
}

func readObject(name, typ string) ([]byte, *elf.Object, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, err
	}
	o, err := elf.ReadAs(raw, typ)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return raw, o, nil
}

func sameRaw(a *elf.Object, i int, b *elf.Object, j int) bool {
	x, xr := a.Raw(i)
	y, yr := b.Raw(j)
	return x != nil && bytes.Equal(x, y) && xr == yr
}

// program gathers what a program may call.
func program(o *elf.Object, i int) witness.Program {
	p := witness.Program{Entry: o.Functions()[i], Funcs: map[string]*prog.Func{}}
	for _, f := range o.Functions() {
		if f.Unsupported == "" {
			p.Funcs[f.Name] = f
		}
	}
	return p
}

// saying tells what is being proved.
type saying struct {
	prover
	say func(string)
}

func (s saying) Prove(ctx context.Context, a, b *prog.Func) pipeline.Proof {
	s.say("proving " + a.Name)
	return s.prover.Prove(ctx, a, b)
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
