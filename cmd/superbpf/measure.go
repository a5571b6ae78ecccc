package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure"
	"github.com/superbpf/superbpf/measure/mapstate"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/traffic"
	"github.com/superbpf/superbpf/traffic/profile"
)

// measureSettings are the options of measure.
type measureSettings struct {
	program, pcap, profile string
	progType               string
	seed                   int64
	packets, context       int
	quick                  bool
	mapFiles               []string
	out                    string

	throughput, lossFree, loadCurve bool
	iface                           string
	forceIface, generic             bool
	peer                            string
	peerRate                        float64
}

func measureCommand() *cobra.Command {
	var s measureSettings
	c := &cobra.Command{
		Use:   "measure A.o B.o",
		Short: "Compare two objects: same behaviour, and which is faster",
		Long: `Runs a program of two objects side by side on the same inputs and compares
return values, packets, contexts and the contents of all maps; then times both
with BPF_PROG_TEST_RUN, in random order, with a control, together and for each
path that packets take. Programs on sockets, control groups (addresses, options,
settings, devices, TCP connections), tracepoints, probes and performance events,
which the kernel does not test-run, are run by raising their events, and timed by
the kernel's run statistics; what of this cannot be done here is said. The objects need not come from superbpf.

XDP programs can be put on a private pair of interfaces as well: --throughput
gives CPU time a packet, --loss-free the highest rate without loss (RFC 2544),
--load-curve waiting times and loss at 10 to 150 % of it; --iface puts them on an
interface of the host, under the traffic that comes in there, and restores what
was attached before. --out keeps the raw records and tables of all this.

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

Exit code 0: same behaviour, B is not slower. 4: B is slower. 5: they differ. 1: as
far as could be told it is neither, but not all programs could be compared.`,
		Example: `  sudo superbpf measure old.o new.o
  sudo superbpf measure old.o new.o --program xdp_main --pcap traffic.pcapng
  sudo superbpf measure old.o new.o --maps maps.yaml --maps routes=routes.json
  sudo superbpf measure old.o new.o --throughput --load-curve --out results
  sudo superbpf measure old.o new.o --iface eth1
  sudo SUPERBPF_PEER_KEY=KEY superbpf measure old.o new.o --iface eth1 --peer gen:7470`,
		Args: exactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return runMeasure(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), args, &s)
		},
	}
	f := c.Flags()
	f.StringVar(&s.program, "program", "", "only this program")
	typeFlag(c, &s.progType)
	f.StringVar(&s.pcap, "pcap", "", "packets to run on (pcap or pcapng)")
	f.StringVar(&s.profile, "traffic", "", "packets to run on: a traffic profile (YAML, see 'superbpf traffic --help')")
	f.IntVar(&s.packets, "packets", 20_000, "inputs for the comparison of behaviour")
	f.IntVar(&s.context, "context", 0, "bytes of random context to run on, for programs that take no packet (default: what the type has)")
	f.Int64Var(&s.seed, "seed", 1, "seed of every random choice")
	f.StringArrayVar(&s.mapFiles, "maps", nil, "what to put into maps: a YAML file, or MAP=FILE.json from bpftool; repeatable")
	f.BoolVar(&s.quick, "quick", false, "fewer rounds")
	f.StringVar(&s.out, "out", "", "folder for raw records and tables")
	f.BoolVar(&s.throughput, "throughput", false, "CPU time a packet, with frames on a veth pair (XDP)")
	f.BoolVar(&s.lossFree, "loss-free", false, "search the highest rate without loss on a veth pair (XDP)")
	f.BoolVar(&s.loadCurve, "load-curve", false, "waiting times and loss at loads from 10 % to past saturation (XDP)")
	f.StringVar(&s.iface, "iface", "", "also on this network interface, in native mode, under the traffic that comes in (XDP)")
	f.BoolVar(&s.forceIface, "force-iface", false, "even if the interface carries the default route")
	f.StringVar(&s.peer, "peer", "", "with --iface: HOST:PORT of a 'superbpf traffic serve' that sends the packets; its key in SUPERBPF_PEER_KEY")
	f.Float64Var(&s.peerRate, "peer-rate", 0, "rate that the peer sends at, in million packets per second (default: all it can)")
	f.BoolVar(&s.generic, "generic", false, "in generic mode where the interface's driver takes no native programs")
	return c
}

func runMeasure(ctx context.Context, stdout, stderr io.Writer, args []string, s *measureSettings) error {
	var objects [2][]byte
	var names []string
	for i, name := range args {
		var err error
		if objects[i], err = os.ReadFile(name); err != nil {
			return err
		}
		obj, err := elf.ReadAs(objects[i], s.progType)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, f := range obj.Functions() {
			if i == 0 && f.Entry && (s.program == "" || f.Name == s.program) {
				names = append(names, f.Name)
			}
		}
	}
	if len(names) == 0 {
		return fail(exitUsage, "%s has no program %q", args[0], s.program)
	}
	states, err := readMaps(s.mapFiles, args[0], objects[0])
	if err != nil {
		return err
	}
	in, err := s.inputs()
	if err != nil {
		return err
	}
	r := newRecorder(s.out, uint64(s.seed))
	worst, failed := 0, 0
	for _, name := range names {
		x := measure.FromObjectAs(args[0], objects[0], name, s.progType, states)
		y := measure.FromObjectAs(args[1], objects[1], name, s.progType, states)
		code, err := s.compare(ctx, stdout, stderr, name, x, y, in, r)
		if err != nil && (ctx.Err() != nil || len(names) == 1) {
			return errors.Join(fmt.Errorf("%s: %w", name, err), r.tables())
		} else if err != nil {
			// One that this kernel refuses does not keep the others from being
			// measured.
			fmt.Fprintf(stdout, "%s: not compared: %v\n", name, err)
			failed++
		}
		worst = max(worst, code)
	}
	if err := r.tables(); err != nil {
		return err
	}
	switch worst {
	case exitSlower:
		return fail(exitSlower, "%s is slower", args[1])
	case exitDifferent:
		return fail(exitDifferent, "%s behaves differently", args[1])
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d programs were not compared; name those that can be with --program", failed, len(names))
	}
	return nil
}

// inputs makes the packets that were asked for.
func (s *measureSettings) inputs() ([]measure.Input, error) {
	if s.context > 0 {
		return measure.Contexts(traffic.Contexts(uint64(s.seed), s.packets, s.context)), nil
	}
	if s.profile == "" {
		return inputs(s.pcap, uint64(s.seed), s.packets)
	}
	if s.pcap != "" {
		return nil, fail(exitUsage, "give --pcap or --traffic, not both")
	}
	text, err := os.ReadFile(s.profile)
	if err != nil {
		return nil, err
	}
	p, err := profile.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.profile, err)
	}
	return mixed(p, uint64(s.seed), s.packets)
}

// compare does all that was asked for with one program, and returns its exit code.
func (s *measureSettings) compare(ctx context.Context, stdout, stderr io.Writer, name string, x, y measure.Subject, in []measure.Input, r *recorder) (int, error) {
	if s.context == 0 {
		packets := make([][]byte, len(in))
		for i := range in {
			packets[i] = in[i].Data
		}
		var err error
		if in, err = measure.InputsFor(x, packets, uint64(s.seed)); err != nil {
			return 0, err
		}
	}
	fmt.Fprintf(stderr, "%s: comparing behaviour on %d inputs, then timing\n", name, len(in))
	o := measure.CompareOptions{Differ: measure.DifferOptions{Inputs: in}}
	paths, err := measure.Representatives(ctx, x, in, 6)
	if err == nil {
		o.Latency = measure.LatencyOptions{Inputs: paths, Seed: uint64(s.seed)}
		if s.quick {
			o.Latency = measure.Quick(o.Latency)
		}
	}
	cmp, err := measure.Compare(ctx, x, y, o)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(stdout, "%s: %s\n", name, cmp)
	if err := r.add(measure.KindCompare, name, cmp, x, y); err != nil {
		return 0, err
	}
	if cmp.Latency != nil {
		if err := r.add(measure.KindLatency, name, cmp.Latency, x, y); err != nil {
			return 0, err
		}
	}
	code := cmp.ExitCode()
	if code == exitDifferent || len(paths) == 0 {
		return code, nil
	}
	return code, s.onFrames(ctx, stdout, stderr, name, x, y, in, paths, r)
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
