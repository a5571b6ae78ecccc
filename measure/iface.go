package measure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
)

// ErrNoTraffic means that no packets came through the interface.
var ErrNoTraffic = errors.New("no packets came through the interface: start a generator on the other end")

// InterfaceOptions steer OnInterface. Zero values mean the defaults given.
type InterfaceOptions struct {
	Iface string
	XDP   loader.XDPOptions // mode, force, fallback
	// Slice is how long a program stays attached at a time (500 ms), Rounds how
	// often each gets its turn, in random order (10).
	Slice  time.Duration
	Rounds int
	// Thresholds as for Latency.
	Thresholds Thresholds
	Seed       uint64
	Progress   func(done, total int)
}

// InterfaceResult is what OnInterface found.
type InterfaceResult struct {
	Iface string `json:"iface"`
	Mode  string `json:"mode"` // native or generic
	// Control compares the base with a second load of itself.
	Control Diff   `json:"control"`
	Rivals  []Diff `json:"rivals"`
	// Mpps are the rates that came in while each program was attached: base,
	// control, rivals.
	Mpps []float64 `json:"mpps"`
	// Packets that all programs saw.
	Packets uint64 `json:"packets"`
	// Reason says why the verdicts are void.
	Reason string `json:"void,omitempty"`
	// Turns are the raw data in the order taken: round, program (0 the base, 1
	// the control, 2... the rivals), packets, run time in ns, wall time in ns.
	Turns [][5]int64 `json:"turns"`
}

// OnInterface attaches XDP programs in turn to a named interface and has the
// kernel count their runs and run time under whatever traffic comes in. Times
// include the kernel's own counting, some tens of ns, the same for all; their
// differences are the programs'. What was attached before is put back.
func OnInterface(ctx context.Context, base Subject, rivals []Subject, o InterfaceOptions) (_ *InterfaceResult, err error) {
	if o.Slice <= 0 {
		o.Slice = 500 * time.Millisecond
	}
	if o.Rounds <= 0 {
		o.Rounds = 10
	}
	if o.XDP.Mode == 0 {
		o.XDP.Mode = loader.XDPNative
	}
	if o.Thresholds == (Thresholds{}) {
		o.Thresholds = DefaultThresholds
	}
	release, _, err := lockHost(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	subjects := append([]Subject{base, base}, rivals...)
	insts := make([]*Instance, len(subjects))
	defer func() {
		for _, i := range insts {
			err = errors.Join(err, i.close())
		}
	}()
	for i, s := range subjects {
		if insts[i], err = s.Load(); err != nil {
			return nil, fmt.Errorf("load %s: %w", s.Name, err)
		}
		if t, kind, err := kindOf(insts[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		} else if t != xdpType {
			return nil, fmt.Errorf("%s: %w: a %s program does not go on an interface here", s.Name, ErrNotMeasurable, kind.name)
		}
	}
	stats, err := loader.EnableRunStats()
	if err != nil {
		return nil, fmt.Errorf("run statistics: %w", err)
	}
	defer unix.Close(stats)
	// A killed process must not leave its program on a network card.
	o.XDP.Tied = true
	at, err := loader.AttachXDP(o.Iface, insts[0].FD, o.XDP)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, at.Close()) }()

	r := &InterfaceResult{Iface: o.Iface, Mode: at.Mode.String(), Mpps: make([]float64, len(subjects))}
	rng := rand.New(rand.NewPCG(o.Seed, 0x1face))
	for round := range o.Rounds {
		for _, k := range rng.Perm(len(subjects)) {
			turn, err := attachedTurn(ctx, at, insts[k].FD, o.Slice)
			if err != nil {
				return nil, err
			}
			turn[0], turn[1] = int64(round), int64(k)
			r.Turns = append(r.Turns, turn)
			if o.Progress != nil {
				o.Progress(len(r.Turns), o.Rounds*len(subjects))
			}
		}
	}
	return r, r.conclude(subjects, o)
}

// attachedTurn attaches the program and counts for a while.
func attachedTurn(ctx context.Context, at *loader.XDPAttachment, prog int, slice time.Duration) (turn [5]int64, err error) {
	if err := at.Replace(prog); err != nil {
		return turn, err
	}
	before, err := loader.Runs(prog)
	if err != nil {
		return turn, err
	}
	start := time.Now()
	select {
	case <-ctx.Done():
		return turn, ctx.Err()
	case <-time.After(slice):
	}
	after, err := loader.Runs(prog)
	wall := time.Since(start)
	return [5]int64{0, 0, int64(after.Count - before.Count), int64(after.Nanos - before.Nanos), int64(wall)}, err
}

// leastPackets is how many packets a turn needs to count.
const leastPackets = 100

// conclude pairs the turns of each round.
func (r *InterfaceResult) conclude(subjects []Subject, o InterfaceOptions) error {
	sides := make([]loads, len(subjects))
	for i := range sides {
		sides[i] = make(loads, o.Rounds)
	}
	packets, wall := make([]int64, len(subjects)), make([]int64, len(subjects))
	for _, t := range r.Turns {
		k := t[1]
		packets[k], wall[k] = packets[k]+t[2], wall[k]+t[4]
		r.Packets += uint64(t[2])
		if t[2] >= leastPackets {
			sides[k][t[0]] = []float64{float64(t[3]) / float64(t[2])}
		}
	}
	if r.Packets == 0 {
		return fmt.Errorf("%s: %w", r.Iface, ErrNoTraffic)
	}
	full := make([]loads, len(subjects)) // rounds in which every program had packets
	for round := range o.Rounds {
		whole := true
		for k := range sides {
			whole = whole && len(sides[k][round]) > 0
		}
		for k := range sides {
			if whole {
				full[k] = append(full[k], sides[k][round])
			}
		}
	}
	for k := range subjects {
		r.Mpps[k] = float64(packets[k]) / float64(max(wall[k], 1)) * 1000
	}
	const fewest = 3
	if len(full[0]) < fewest {
		r.Reason = fmt.Sprintf("only %d of %d rounds had %d packets for each program", len(full[0]), o.Rounds, leastPackets)
		return nil
	}
	r.Control = compare("control", full[0], full[1], nil, o.Seed)
	if v := o.Thresholds.decide(r.Control); v == NoDifference {
		r.Control.Verdict = v
	} else {
		r.Reason = fmt.Sprintf("the base measured %s than itself (%+.3f ns): the traffic is not steady", v, r.Control.Change.Mid)
	}
	for j, s := range subjects[2:] {
		d := compare(s.Name, pool(full[0], full[1]), full[j+2], nil, o.Seed+uint64(j)+1)
		if r.Reason == "" {
			d.Verdict = o.Thresholds.decide(d)
		}
		r.Rivals = append(r.Rivals, d)
	}
	return nil
}
