// Command superbpf makes compiled BPF programs smaller and faster.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes beyond 0 (done) and 1 (failed).
const (
	exitUsage     = 2 // the command line is wrong
	exitUnproved  = 3 // verify: a function is Different or Unknown
	exitSlower    = 4 // measure: the second object is slower
	exitDifferent = 5 // measure: the second object behaves differently
)

// exitError carries an exit code.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

func fail(code int, format string, args ...any) error {
	return exitError{code, fmt.Errorf(format, args...)}
}

func main() {
	// The first Ctrl-C ends the work in an orderly way: best result so far
	// written, namespaces and attachments gone. A second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() { <-ctx.Done(); stop() }()
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "superbpf:", message(err))
	var e exitError
	if errors.As(err, &e) {
		os.Exit(e.code)
	}
	os.Exit(1)
}

// message is an error's text in the words of a user; what else went wrong, when
// cleaning up for instance, stays in it.
func message(err error) string {
	return strings.ReplaceAll(err.Error(), context.Canceled.Error(), "interrupted")
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "superbpf",
		Short: "Make compiled BPF programs smaller and faster, with proof",
		Long: `superbpf reads the ELF object that clang made of a BPF program, searches for
better code, proves each rewrite equivalent with Z3, has the running kernel's
verifier accept it, and writes a drop-in object.

Exit codes: 0 done; 1 failed; 2 wrong command line; 3 verify: something is not
proved equal; 4 measure: the second object is slower; 5 measure: it behaves
differently.`,
		Example: `  sudo superbpf optimize prog.bpf.o -o prog.opt.o
  sudo superbpf measure prog.bpf.o prog.opt.o
  superbpf verify prog.bpf.o prog.opt.o
  sudo superbpf bench run --programs xdp1,xdp2`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fail(exitUsage, "%v; see %s --help", err, c.CommandPath())
	})
	root.AddCommand(optimizeCommand(), verifyCommand(), explainCommand(), measureCommand(), benchCommand(), reportCommand(), trafficCommand(), probeCommand(), rulesCommand(), calibrateCommand())
	return root
}
