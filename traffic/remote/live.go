package remote

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// Ways in which packets are sent.
const (
	ByLiveFrames   = "live frames"
	ByPacketSocket = "packet socket"
)

// errNotLive means that an interface does not send frames that the kernel makes.
var errNotLive = errors.New("the interface does not send live frames")

// Send sends a request's packets through an interface of the calling thread's
// network namespace: frames that a BPF program makes in the kernel, twenty times as
// many as by a packet socket, where the kernel and the interface's driver take
// them, else by a packet socket.
func Send(ctx context.Context, iface string, r Request) (Reply, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	reply, err := OnLiveFrames(ctx, iface, r)
	if err == nil || ctx.Err() != nil || !errors.Is(err, errNotLive) {
		return reply, err
	}
	why := err
	reply, err = OnSocket(ctx, iface, r)
	reply.Note = why.Error()
	return reply, err
}

// Of live frames: longest is a frame's room in bytes, batch how many are made at a
// time, stretch the time that a call aims at, probing how long an interface may take
// to send the first, settle how long its counters take.
const (
	longest = 3400
	batch   = 64
	stretch = 5 * time.Millisecond
	probing = time.Second
	settle  = 20 * time.Millisecond
)

// The generator's state: interface index, interval, time of the next packet,
// packets there are, the next packet's number, lag; 8 bytes each. Times are in ns
// shifted left by shift.
const (
	stateSize = 48
	// mostBehind is how many packets of lost time are made up for.
	mostBehind = batch * 3 / 2
	shift      = 8
)

// generator is what sends live frames.
type generator struct {
	state, packets *loader.RawMap
	prog           *loader.RawProg
	ns             *testbed.Namespace
	at             *loader.XDPAttachment
	run            loader.TestRun
}

// OnLiveFrames sends by frames that the kernel makes (BPF_F_TEST_XDP_LIVE_FRAMES,
// Linux 5.18) and redirects to the interface.
func OnLiveFrames(ctx context.Context, iface string, r Request) (reply Reply, err error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return reply, fmt.Errorf("interface %s: %w", iface, err)
	}
	g, err := newGenerator(i.Index, r)
	if err != nil {
		return reply, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	sent := func() (uint64, error) {
		c, err := testbed.ReadCounters(iface)
		return c.TxPackets, err
	}
	first, err := sent()
	if err != nil {
		return reply, err
	}
	if err := g.frames(batch); err != nil {
		return reply, fmt.Errorf("%w: %w", errNotLive, err)
	}
	for end := time.Now().Add(probing); ; time.Sleep(time.Millisecond) {
		now, err := sent()
		if err != nil {
			return reply, err
		}
		if now-first >= batch/2 { // some may be the host's own
			first = now
			break
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return reply, fmt.Errorf("%w: %s sent none; its driver may want an XDP program on it", errNotLive, iface)
		}
	}
	start := time.Now()
	end := start.Add(time.Duration(r.Millis) * time.Millisecond)
	for n := batch; time.Now().Before(end) && ctx.Err() == nil; {
		began := time.Now()
		if err := g.frames(n); err != nil {
			return reply, err
		}
		// In calls of a few milliseconds: a signal cuts a call short, and the
		// connection's end is seen between two.
		took := max(time.Since(began), time.Microsecond)
		n = min(max(int(float64(n)*float64(stretch)/float64(took)), 1), 4*n, 1<<20)
	}
	elapsed := time.Since(start)
	time.Sleep(settle)
	last, err := sent()
	if err != nil {
		return reply, err
	}
	reply = Reply{Sent: last - first, Mpps: float64(last-first) / float64(elapsed.Nanoseconds()) * 1000, By: ByLiveFrames}
	return reply, ctx.Err()
}

func newGenerator(ifindex int, r Request) (_ *generator, err error) {
	g := new(generator)
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	most := 0
	for _, p := range r.Packets {
		most = max(most, len(p))
	}
	if most > longest {
		return nil, fmt.Errorf("%w: a packet of %d bytes, they hold %d", errNotLive, most, longest)
	}
	const array, xdp = 2, 6
	if g.state, err = loader.NewRawMap(array, 4, stateSize, 1); err != nil {
		return nil, err
	}
	room := (most + 7) / 8 * 8
	if g.packets, err = loader.NewRawMap(array, 4, 8+room, len(r.Packets)); err != nil {
		return nil, err
	}
	ne := binary.NativeEndian
	var key [4]byte
	value := make([]byte, 8+room)
	for i, p := range r.Packets {
		ne.PutUint32(key[:], uint32(i))
		ne.PutUint32(value, uint32(len(p)))
		ne.PutUint32(value[4:], uint32(int32(len(p)-most)))
		copy(value[8:], p)
		if err := g.packets.Update(key[:], value); err != nil {
			return nil, err
		}
	}
	state := make([]byte, stateSize)
	ne.PutUint64(state, uint64(ifindex))
	interval := uint64(0)
	if r.Mpps > 0 {
		interval = uint64(1000 / r.Mpps * (1 << shift))
	}
	ne.PutUint64(state[8:], interval)
	ne.PutUint64(state[40:], max(20_000<<shift, mostBehind*interval))
	ne.PutUint64(state[24:], uint64(len(r.Packets)))
	if err := g.state.Update(make([]byte, 4), state); err != nil {
		return nil, err
	}
	if g.prog, err = loader.LoadRaw(xdp, code(g.state.FD(), g.packets.FD(), room), loader.RawOptions{Name: "sb_generator"}); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotLive, err)
	}
	// A program that is attached nowhere waits for the kernel's grace periods in
	// each call. The place it hangs at goes with the process.
	if g.ns, err = testbed.NewNamespace(); err != nil {
		return nil, err
	}
	pair, err := g.ns.NewPair(false)
	if err != nil {
		return nil, err
	}
	if g.at, err = g.ns.Attach(pair.Left, g.prog.FD(), loader.XDPGeneric); err != nil {
		return nil, err
	}
	g.run = loader.TestRun{Prog: g.prog.FD(), Data: make([]byte, most), Flags: loader.LiveFrames, Batch: batch}
	return g, nil
}

func (g *generator) close() error {
	errs := []error{g.at.Close(), g.ns.Close()}
	if g.prog != nil {
		errs = append(errs, g.prog.Close())
	}
	for _, m := range []*loader.RawMap{g.state, g.packets} {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	return errors.Join(errs...)
}

func (g *generator) frames(n int) error {
	g.run.Repeat = n
	_, err := g.run.Timed()
	return err
}

// code is the program that each frame runs:
//
//	s = state[0]
//	for spins { now = ktime() << shift; if now >= s.next break }
//	s.next = max(s.next, now - s.lag) + s.interval
//	p = packets[s.number]; s.number = (s.number + 1) % s.packets
//	cut the frame to p.len; store p.bytes
//	return redirect(s.ifindex)
//
// The lag lets what a batch loses while it is handed over be made up for without
// letting a stall grow into a burst.
func code(state, packets, room int) []byte {
	const (
		spins = 4096

		lookup, ktime, redirect, adjustTail, storeBytes = 1, 5, 23, 65, 190
		mov, movImm, addImm, call, load64, store64      = 0xbf, 0xb7, 0x07, 0x85, 0x79, 0x7b
	)
	op := loader.Encode
	list := []loader.Slot{
		op(mov, 6, 1, 0, 0),    // r6 = ctx
		op(0x62, 10, 0, -4, 0), // *(u32 *)(r10 - 4) = 0
		op(mov, 2, 10, 0, 0),
		op(addImm, 2, 0, 0, -4),
		op(0x18, 1, 1, 0, int32(state)), {},
		op(call, 0, 0, 0, lookup),
	}
	var drops []int // jumps to the end
	drop := func(jmp loader.Slot) { drops = append(drops, len(list)); list = append(list, jmp) }
	add := func(s ...loader.Slot) { list = append(list, s...) }
	drop(op(0x15, 0, 0, 0, 0)) // if r0 == 0 drop
	add(op(mov, 7, 0, 0, 0),   // r7 = s
		op(load64, 9, 7, 16, 0),    // r9 = s->next
		op(movImm, 8, 0, 0, spins), // r8 = spins
		op(call, 0, 0, 0, ktime),   // spin: r0 = ktime
		op(0x67, 0, 0, 0, shift),   // r0 <<= shift
		op(0x3d, 0, 9, 2, 0),       // if r0 >= r9 go on
		op(addImm, 8, 0, 0, -1),    // r8--
		op(0x55, 8, 0, -5, 0),      // if r8 != 0 spin
		op(load64, 1, 7, 40, 0),    // r0 -= s->lag
		op(0x1f, 0, 1, 0, 0),
		op(0x3d, 9, 0, 1, 0),     // if r9 < r0
		op(mov, 9, 0, 0, 0),      //   r9 = r0
		op(load64, 1, 7, 8, 0),   // r9 += s->interval
		op(0x0f, 9, 1, 0, 0),     //
		op(store64, 7, 9, 16, 0), // s->next = r9
		op(load64, 1, 7, 32, 0),  // r1 = s->number
		op(0x63, 10, 1, -4, 0),   // the key
		op(addImm, 1, 0, 0, 1),   // r1++
		op(load64, 2, 7, 24, 0),  // if r1 >= s->packets
		op(0xad, 1, 2, 1, 0),     //
		op(movImm, 1, 0, 0, 0),   //   r1 = 0
		op(store64, 7, 1, 32, 0), // s->number = r1
		op(mov, 2, 10, 0, 0),     //
		op(addImm, 2, 0, 0, -4),  //
		op(0x18, 1, 1, 0, int32(packets)), loader.Slot{},
		op(call, 0, 0, 0, lookup))
	drop(op(0x15, 0, 0, 0, 0))
	add(op(mov, 8, 0, 0, 0), // r8 = p
		op(mov, 1, 6, 0, 0),
		op(0x61, 2, 8, 4, 0),  // r2 = its length less that of the frame
		op(0x67, 2, 0, 0, 32), // signed
		op(0xc7, 2, 0, 0, 32),
		op(call, 0, 0, 0, adjustTail))
	drop(op(0x55, 0, 0, 0, 0)) // if r0 != 0 drop
	add(op(0x61, 4, 8, 0, 0))  // r4 = p->len
	drop(op(0x25, 4, 0, 0, int32(room)))
	drop(op(0x15, 4, 0, 0, 0))
	add(op(mov, 1, 6, 0, 0),
		op(movImm, 2, 0, 0, 0),
		op(mov, 3, 8, 0, 0),
		op(addImm, 3, 0, 0, 8),
		op(call, 0, 0, 0, storeBytes))
	drop(op(0x55, 0, 0, 0, 0))
	add(op(load64, 1, 7, 0, 0),
		op(movImm, 2, 0, 0, 0),
		op(call, 0, 0, 0, redirect),
		op(0x95, 0, 0, 0, 0))
	for _, k := range drops {
		binary.LittleEndian.PutUint16(list[k][2:], uint16(len(list)-k-1))
	}
	const xdpDrop = 1
	add(op(movImm, 0, 0, 0, xdpDrop), op(0x95, 0, 0, 0, 0))
	return loader.Code(list...)
}
