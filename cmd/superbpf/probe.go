package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/guest"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// finding is one thing that a host can do or lacks.
type finding struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	State  string `json:"state"`
	Remedy string `json:"remedy,omitempty"`
}

// findings is what probe --json prints.
type findings struct {
	Host     loader.Host `json:"host"`
	Findings []finding   `json:"findings"`
}

func (f *findings) add(what, state string) {
	f.Findings = append(f.Findings, finding{what, true, state, ""})
}

func (f *findings) lack(what, state, remedy string) {
	f.Findings = append(f.Findings, finding{what, false, state, remedy})
}

func probeCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "probe",
		Short: "Show what this host can do, and what is missing",
		Long: `Shows what superbpf can do on this host: load and run programs of which types,
measure, prove, ask other kernels; and how to get what is missing. Nothing is
changed or attached; empty programs are loaded and run for a moment.`,
		Example: `  sudo superbpf probe
  sudo superbpf probe --json | jq '.findings[] | select(.ok | not)'`,
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			f := probe()
			if asJSON {
				return printJSON(c.OutOrStdout(), f)
			}
			return f.table(c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON instead of a table")
	return c
}

func (f *findings) table(w io.Writer) error {
	t := tablewriter.NewWriter(w)
	t.Header("what", "state", "remedy")
	for _, r := range f.Findings {
		if err := t.Append(r.What, fold(r.State), fold(r.Remedy)); err != nil {
			return err
		}
	}
	return t.Render()
}

// fold breaks a text into lines that fit a cell.
func fold(s string) string {
	var b strings.Builder
	if err := wrap(&b, s, 48, ""); err != nil {
		return s
	}
	return strings.TrimSpace(b.String())
}

// probe looks at everything.
func probe() *findings {
	f := &findings{Host: loader.ProbeHost()}
	f.add("kernel", f.Host.Kernel+", "+f.Host.Arch)
	f.add("processor", fmt.Sprintf("%d x %s", f.Host.CPUs, cmp.Or(f.Host.CPU, "unknown")))
	f.jit()
	if loader.HasPMU() {
		f.add("PMU", "there")
	} else {
		f.lack("PMU", "none", "cycle counts need a host, or a virtual machine, with performance counters")
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err == nil {
		f.add("kernel types", "/sys/kernel/btf/vmlinux")
	} else {
		f.lack("kernel types", "none", "CO-RE, fentry and kernel functions need a kernel with CONFIG_DEBUG_INFO_BTF=y and /sys mounted")
	}
	f.programs()
	f.interfaces()
	f.kernels()
	f.tools()
	return f
}

func (f *findings) jit() {
	switch {
	case f.Host.JIT == 0:
		f.lack("JIT", "off", "sysctl net.core.bpf_jit_enable=1: without it sizes and times are those of the interpreter")
	case f.Host.JIT < 0:
		f.lack("JIT", "unknown", "net.core.bpf_jit_enable cannot be read: mount /proc")
	default:
		f.add("JIT", "on")
	}
	if f.Host.JITHarden > 0 {
		f.lack("JIT hardening", fmt.Sprint(f.Host.JITHarden), "sysctl net.core.bpf_jit_harden=0 while measuring: it blinds constants")
	}
	if f.Host.RunStats > 0 {
		f.lack("run statistics", "on", "sysctl kernel.bpf_stats_enabled=0 while measuring: they slow every run")
	}
}

func (f *findings) programs() {
	if l := loader.Level(); l > 0 {
		f.add("instructions", fmt.Sprintf("up to -mcpu=v%d", l))
	} else {
		f.lack("loading programs", "not allowed", loader.ErrPrivilege.Error())
		return
	}
	if os.Geteuid() != 0 {
		f.lack("program types", "not tried", "run with sudo")
		return
	}
	var runs, loads []string
	for _, c := range loader.ProbePrograms() {
		name := strings.TrimPrefix(c.Name, "program type ")
		switch {
		case !c.OK:
			f.lack(c.Name, "does not load: "+c.Note, "another kernel may take it: --kernels 6.12")
		case strings.Contains(c.Note, "not measurable"):
			loads = append(loads, name)
		default:
			runs = append(runs, name)
		}
	}
	f.add("types that load and run on request", strings.Join(runs, ", "))
	f.add("types that load only", strings.Join(loads, ", "))
}

func (f *findings) interfaces() {
	list, err := loader.Interfaces()
	if err != nil {
		f.lack("interfaces", "cannot be listed", err.Error())
		return
	}
	for _, i := range list {
		if i.Name == "lo" {
			continue
		}
		what := "native XDP on " + i.Name
		about := cmp.Or(i.Driver, i.Kind)
		if i.DefaultRoute {
			about += ", carries the default route"
		}
		if i.Program != 0 {
			about += fmt.Sprintf(", program %d is attached", i.Program)
		}
		features, err := loader.XDPFeatures(i.Name)
		switch {
		case errors.Is(err, loader.ErrNoFeatures):
			f.lack(what, "unknown ("+about+")", err.Error())
		case err != nil:
			f.lack(what, "unknown ("+about+")", err.Error())
		case len(features) == 0:
			f.lack(what, "no ("+about+")", "the driver has none: use an interface that does, a veth pair for instance")
		default:
			f.add(what, strings.Join(features, ", ")+" ("+about+")")
		}
	}
}

// kernels says which others can judge.
func (f *findings) kernels() {
	if runtime.GOARCH != "amd64" {
		f.lack("kernels in virtual machines", "no", "they run on amd64 only")
		return
	}
	if err := guest.Available(); err != nil {
		f.lack("kernels in virtual machines", "no", err.Error())
	} else if _, err := os.Stat("/dev/kvm"); err == nil {
		f.add("kernels in virtual machines", "yes, with KVM")
	} else {
		f.add("kernels in virtual machines", "yes, emulated (/dev/kvm is missing: load the module kvm_amd or kvm_intel, or allow nested machines)")
	}
	var have []string
	cached, err := guest.Cached()
	if err != nil {
		f.lack("cached kernels", "none", err.Error())
		return
	}
	for _, i := range cached {
		have = append(have, i.Release)
	}
	if len(have) == 0 {
		f.lack("cached kernels", "none", "--kernels 6.1,6.12 fetches them (Debian packages, about 30 MB each)")
		return
	}
	dir, _ := guest.CacheDir()
	f.add("cached kernels", strings.Join(have, ", ")+" in "+dir)
}

func (f *findings) tools() {
	if clang, err := benchmarks.Clang(); err == nil {
		f.add("clang", clang)
	} else {
		f.lack("clang", "missing", "apt-get install clang-19 (to compile the benchmarks)")
	}
	for _, n := range smt.Names() {
		ctx := smt.NewCtx(smt.Options{})
		s, err := smt.Open(ctx, n)
		if err == nil {
			s.Close()
			f.add("solver "+n, "there")
			continue
		}
		remedy := "apt-get install " + n
		if n == "go-z3" {
			remedy = "./run.sh build"
		}
		f.lack("solver "+n, "missing", remedy)
	}
	for _, t := range []struct{ name, pkg, use string }{
		{"bpftool", "bpftool", "to dump maps for --maps, and for bench loads"},
		{guest.Qemu, "--no-install-recommends qemu-system-x86", "for --kernels"},
		{"apt-get", "", "to fetch kernels for --kernels: a Debian or Ubuntu host"},
		{"ip", "iproute2", "to look at interfaces, and for bench loads"},
		{"tc", "iproute2", "for bench loads"},
	} {
		if p, err := exec.LookPath(t.name); err == nil {
			f.add(t.name, p)
		} else if t.pkg == "" {
			f.lack(t.name, "missing", t.use)
		} else {
			f.lack(t.name, "missing", "apt-get install "+t.pkg+" ("+t.use+")")
		}
	}
}
