package measure

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// LossFreeRate searches for the highest rate at which an XDP program, in native
// mode at the end of a veth pair, loses no packets. Sender and receiver have a
// CPU each. The sender is a BPF program that waits for each packet's time and
// never catches up on time lost, since a burst would overflow the pair's ring.
func LossFreeRate(ctx context.Context, s Subject, in Input, o RateOptions) (_ *RateResult, err error) {
	release, _, err := lockHost(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	ns, err := testbed.NewNamespace()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	p := &pacer{ns: ns, in: in, batch: liveBatch}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.open(s); err != nil {
		return nil, typedError(s.Name, err)
	}
	return SearchRate(ctx, p.trial, o)
}

// trialTime is how long a trial sends.
const trialTime = 40 * time.Millisecond

type pacer struct {
	ns    *testbed.Namespace
	in    Input
	pair  *testbed.Pair
	state *loader.RawMap
	gen   *loader.RawProg
	sink  *loader.RawProg
	inst  *Instance
	batch int // packets that the sender hands over at a time
	// stamped packets carry the time at which they were due; a program in front of
	// the one under test counts how long they waited: see LoadCurve.
	stamped    bool
	hist, jump *loader.RawMap
	wrap       *loader.RawProg

	held []*loader.XDPAttachment
}

func (p *pacer) open(s Subject) (err error) {
	if err = p.ns.Do(func() error { p.inst, err = s.Load(); return err }); err != nil {
		return err
	}
	if t, _, err := kindOf(p.inst); err != nil {
		return err
	} else if t != xdpType {
		return ErrNotMeasurable
	}
	home, err := p.ns.NewPair(false)
	if err != nil {
		return err
	}
	if p.pair, err = p.ns.NewPair(true); err != nil {
		return err
	}
	const array = 2
	if p.state, err = loader.NewRawMap(array, 4, pacerState, 1); err != nil {
		return err
	}
	if p.gen, err = loader.LoadRaw(xdpType, pacedGenerator(p.in.Data, p.state.FD(), p.stamped), loader.RawOptions{Name: "paced"}); err != nil {
		return err
	}
	if p.sink, err = loader.LoadRaw(xdpType, slots(mov(0, xdpDrop), exit), loader.RawOptions{Name: "sink"}); err != nil {
		return err
	}
	under := p.inst.FD
	if p.stamped {
		if err := p.front(); err != nil {
			return err
		}
		under = p.wrap.FD()
	}
	for _, a := range []struct {
		iface string
		prog  int
		mode  loader.XDPMode
	}{
		{home.Left, p.gen.FD(), loader.XDPGeneric},
		{p.pair.Left, p.sink.FD(), loader.XDPNative},
		{p.pair.Right, under, loader.XDPNative},
	} {
		at, err := p.ns.Attach(a.iface, a.prog, a.mode)
		if err != nil {
			return err
		}
		p.held = append(p.held, at)
	}
	// After the program: its arrival makes the receive queue.
	_, err = p.ns.ReceiveOnOtherCPU(p.pair.Right)
	return err
}

func (p *pacer) close() error {
	var errs []error
	for _, a := range p.held {
		errs = append(errs, a.Close())
	}
	for _, g := range []*loader.RawProg{p.gen, p.sink, p.wrap} {
		if g != nil {
			errs = append(errs, g.Close())
		}
	}
	for _, m := range []*loader.RawMap{p.state, p.hist, p.jump} {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	return errors.Join(append(errs, p.inst.close())...)
}

func (p *pacer) trial(mpps float64) (t Trial, err error) {
	t.Target = mpps
	n := max(int(mpps*float64(trialTime.Microseconds())), liveBatch)
	err = p.ns.Do(func() error {
		var key [4]byte
		var state [pacerState]byte
		binary.NativeEndian.PutUint64(state[0:], uint64(p.pair.LeftIndex))
		interval := uint64(1000 / mpps * (1 << pacerShift))
		binary.NativeEndian.PutUint64(state[8:], interval)
		binary.NativeEndian.PutUint64(state[32:], max(leastLag, mostBehind*interval))
		if err := p.state.Update(key[:], state[:]); err != nil {
			return err
		}
		before, err := testbed.ReadCounters(p.pair.Right)
		if err != nil {
			return err
		}
		if err := testbed.RealTime(0, true); err != nil {
			return err
		}
		defer testbed.RealTime(0, false)
		r := loader.TestRun{Prog: p.gen.FD(), Data: p.in.Data, Repeat: n, Flags: loader.LiveFrames, Batch: p.batch}
		start := time.Now()
		if _, err := r.Unbroken(); err != nil {
			return err
		}
		elapsed := time.Since(start)
		if err := p.state.Lookup(key[:], state[:]); err != nil {
			return err
		}
		t.Sent = binary.NativeEndian.Uint64(state[24:])
		t.Offered = float64(t.Sent) / float64(elapsed.Nanoseconds()) * 1000
		t.Received, err = p.arrived(before.RxPackets, t.Sent)
		return err
	})
	return t, err
}

// How long the receiver is given to empty its ring: until nothing has come for so
// many looks in a row, as it may not be running for a while.
const (
	drainLook  = 2 * time.Millisecond
	drainLooks = 5
	drainMost  = 100 // looks
)

// arrived counts the packets that came since there were before, once those that were
// sent have come or no more do.
func (p *pacer) arrived(before, sent uint64) (n uint64, err error) {
	same := 0
	for range drainMost {
		time.Sleep(drainLook)
		c, err := testbed.ReadCounters(p.pair.Right)
		if err != nil {
			return 0, err
		}
		was := n
		if n = c.RxPackets - before; n != was {
			same = 0
		}
		if same++; n >= sent || same == drainLooks {
			break
		}
	}
	return n, nil
}

// The pacing program's state in its map: interface index, interval, time of the
// next packet, packets sent, lag; 8 bytes each. Times are in ns shifted left by
// pacerShift.
const (
	pacerState  = 40
	pacerShift  = 8
	leastLag    = 20_000 << pacerShift
	mostBehind  = 96   // packets: a batch and a half, less than half of the pair's ring
	pacerSpins  = 4096 // looks at the clock for one packet: some 100 µs
	helperKtime = 5
)

// pacedGenerator is generator with a wait for the packet's time:
//
//	s = map[0]
//	for spins { now = ktime() << shift; if now >= s.next break }
//	s.next = max(s.next, now - s.lag)
//	if stamped { packet[len-8:] = s.next >> shift }
//	s.next += s.interval
//	s.sent++
//	return redirect(s.ifindex, 0)
//
// The lag lets what a batch loses while it is handed over be made up for without
// letting a stall grow into a burst.
func pacedGenerator(packet []byte, state int, stamped bool) []byte {
	store := restore(packet)
	code := []slot8{
		raw(0x61, 7, 1, 0, 0),                       // r7 = ctx->data
		raw(0x61, 3, 1, 4, 0),                       // r3 = ctx->data_end
		raw(opMovReg, 2, 7, 0, 0),                   // r2 = r7
		raw(0x07, 2, 0, 0, int32(restored(packet))), // r2 += n
		raw(0x2d, 2, 3, int16(len(store)), 0),       // if r2 > r3 skip the stores
	}
	if stamped {
		code = append(code[:2:2], append([]slot8{raw(0x7b, 10, 3, -16, 0)}, code[2:]...)...) // *(u64 *)(r10 - 16) = r3
	}
	code = append(code, store...)
	code = append(code,
		raw(0x62, 10, 0, -4, 0),
		raw(opMovReg, 2, 10, 0, 0),
		raw(0x07, 2, 0, 0, -4),
		raw(0x18, 1, 1, 0, int32(state)), slot8{},
		raw(0x85, 0, 0, 0, helperLookup),
		raw(0x55, 0, 0, 2, 0), // if r0 == 0: drop
		mov(0, xdpDrop),
		exit,
		raw(opMovReg, 6, 0, 0, 0),       // r6 = s
		raw(0x79, 9, 6, 16, 0),          // r9 = s->next
		mov(8, pacerSpins),              // r8 = spins
		raw(0x85, 0, 0, 0, helperKtime), // spin: r0 = ktime
		raw(0x67, 0, 0, 0, pacerShift),  // r0 <<= shift
		raw(0x3d, 0, 9, 2, 0),           // if r0 >= r9 go on
		raw(0x07, 8, 0, 0, -1),          // r8--
		raw(0x55, 8, 0, -5, 0),          // if r8 != 0 spin
		raw(0x79, 1, 6, 32, 0),          // r0 -= s->lag
		raw(0x1f, 0, 1, 0, 0),
		raw(0x3d, 9, 0, 1, 0),     // if r9 < r0
		raw(opMovReg, 9, 0, 0, 0), //   r9 = r0
	)
	if stamped {
		n := len(packet)
		code = append(code,
			raw(opMovReg, 1, 9, 0, 0),
			raw(0x77, 1, 0, 0, pacerShift), // r1 = r9 in ns
			raw(opMovReg, 2, 7, 0, 0),
			raw(0x07, 2, 0, 0, int32(n)),
			raw(0x79, 3, 10, -16, 0),               // r3 = ctx->data_end
			raw(0x2d, 2, 3, 1, 0),                  // if r7 + n <= r3
			raw(0x7b, 7, 1, int16(n-stampSize), 0), //   *(u64 *)(r7 + n - 8) = r1
		)
	}
	return slots(append(code,
		raw(0x79, 1, 6, 8, 0), // r9 += s->interval
		raw(0x0f, 9, 1, 0, 0),
		raw(0x7b, 6, 9, 16, 0), // s->next = r9
		raw(0x79, 1, 6, 24, 0), // s->sent++
		raw(0x07, 1, 0, 0, 1),
		raw(0x7b, 6, 1, 24, 0),
		raw(0x79, 1, 6, 0, 0), // r1 = s->ifindex
		mov(2, 0),
		raw(0x85, 0, 0, 0, helperRedirect),
		exit,
	)...)
}
