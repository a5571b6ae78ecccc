package measure

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// Throughput measures CPU time per packet with real frames: the kernel itself
// generates them (BPF_F_TEST_XDP_LIVE_FRAMES) and redirects them into veth
// pairs, at whose other ends the programs run in native mode and their verdicts
// are carried out. Sender and receiver share one core, so the thread's CPU time
// is that of both; what generating alone takes is measured and subtracted. The
// times in the result are the receiving side's per packet: Mpps converts them.
//
// Options, control and verdicts are those of Latency.
func Throughput(ctx context.Context, base Subject, rivals []Subject, o LatencyOptions) (*LatencyResult, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	return repeatSession(ctx, base, rivals, o, true)
}

// Mpps converts ns per packet into million packets per second of one core.
func Mpps(nanos float64) float64 {
	if nanos <= 0 {
		return 0
	}
	return 1000 / nanos
}

// liveBatch is the frames that the kernel generates before it lets the receiver
// run: one NAPI budget.
const liveBatch = 64

// liveRig is what live frames need besides the programs under test.
type liveRig struct {
	target *loader.RawMap // interface index that the generators send to
	sink   *loader.RawProg
	home   []*loader.XDPAttachment // generators and sinks
	gens   []*loader.RawProg       // by input
}

func newLiveRig(ns *testbed.Namespace, inputs []Input) (_ *liveRig, err error) {
	r := new(liveRig)
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	const array = 2
	if r.target, err = loader.NewRawMap(array, 4, 4, 1); err != nil {
		return nil, err
	}
	// The other end takes what a program sends back with XDP_TX, and drops it.
	if r.sink, err = loader.LoadRaw(xdpType, slots(mov(0, xdpDrop), exit), loader.RawOptions{Name: "sink"}); err != nil {
		return nil, err
	}
	for i, in := range inputs {
		g, err := loader.LoadRaw(xdpType, generator(in.Data, r.target.FD()), loader.RawOptions{Name: "generator"})
		if err != nil {
			return nil, fmt.Errorf("generator of input %d: %w", i, err)
		}
		r.gens = append(r.gens, g)
	}
	for i := 0; i < len(r.gens); i += 2 {
		p, err := ns.NewPair(false)
		if err != nil {
			return nil, err
		}
		for j, iface := range []string{p.Left, p.Right} {
			if i+j == len(r.gens) {
				break
			}
			// An unattached program pays for a patched dispatcher in each call.
			a, err := ns.Attach(iface, r.gens[i+j].FD(), loader.XDPGeneric)
			if err != nil {
				return nil, err
			}
			r.home = append(r.home, a)
		}
	}
	return r, nil
}

func (r *liveRig) close() error {
	var errs []error
	for _, a := range r.home {
		errs = append(errs, a.Close())
	}
	for _, g := range r.gens {
		errs = append(errs, g.Close())
	}
	if r.sink != nil {
		errs = append(errs, r.sink.Close())
	}
	if r.target != nil {
		errs = append(errs, r.target.Close())
	}
	return errors.Join(errs...)
}

// aim sets the interface that frames go to; 0 has the generator drop them.
func (r *liveRig) aim(ifindex int) error {
	var key, value [4]byte
	binary.NativeEndian.PutUint32(value[:], uint32(ifindex))
	return r.target.Update(key[:], value[:])
}

// prepare sets a run of n frames of an input.
func (r *liveRig) prepare(t *loader.TestRun, input int, in Input, n int) {
	t.Prog, t.Data, t.Repeat = r.gens[input].FD(), in.Data, n
	t.Flags, t.Batch = loader.LiveFrames, liveBatch
}

// The few instructions that generators are made of.
const (
	xdpType            = 6
	xdpDrop            = 1
	helperLookup       = 1
	helperRedirect     = 23
	rewritten          = 256 // bytes of a packet that the generator restores
	opMovImm, opMovReg = 0xb7, 0xbf
)

type slot8 = loader.Slot

var raw, slots = loader.Encode, loader.Code

func mov(dst uint8, imm int32) slot8 { return raw(opMovImm, dst, 0, 0, imm) }

var exit = raw(0x95, 0, 0, 0, 0)

// generator makes an XDP program that restores the packet's first bytes, since
// the kernel reuses frames with what the last receiver left in them, and sends
// the packet to the interface whose index is in the map.
func generator(packet []byte, target int) []byte {
	store := restore(packet)
	code := []slot8{
		raw(0x61, 7, 1, 0, 0),                       // r7 = ctx->data
		raw(0x61, 3, 1, 4, 0),                       // r3 = ctx->data_end
		raw(opMovReg, 2, 7, 0, 0),                   // r2 = r7
		raw(0x07, 2, 0, 0, int32(restored(packet))), // r2 += n
		raw(0x2d, 2, 3, int16(len(store)), 0),       // if r2 > r3 skip the stores
	}
	code = append(code, store...)
	code = append(code,
		raw(0x62, 10, 0, -4, 0), // key 0
		raw(opMovReg, 2, 10, 0, 0),
		raw(0x07, 2, 0, 0, -4),
		raw(0x18, 1, 1, 0, int32(target)), slot8{}, // r1 = map
		raw(0x85, 0, 0, 0, helperLookup),
		raw(0x15, 0, 0, 5, 0), // if r0 == 0 drop
		raw(0x61, 1, 0, 0, 0), // r1 = interface index
		raw(0x15, 1, 0, 3, 0), // if r1 == 0 drop
		mov(2, 0),
		raw(0x85, 0, 0, 0, helperRedirect),
		exit,
		mov(0, xdpDrop),
		exit,
	)
	return slots(code...)
}

// restored is how many of a packet's bytes the generator writes.
func restored(packet []byte) int { return min(len(packet), rewritten) }

// restore makes the stores that write the packet's first bytes at r7.
func restore(packet []byte) []slot8 {
	var store []slot8
	i, n := 0, restored(packet)
	for ; i+4 <= n; i += 4 {
		store = append(store, raw(0x62, 7, 0, int16(i), int32(binary.LittleEndian.Uint32(packet[i:])))) // *(u32 *)(r7 + i) = imm
	}
	for ; i < n; i++ {
		store = append(store, raw(0x72, 7, 0, int16(i), int32(packet[i]))) // *(u8 *)(r7 + i) = imm
	}
	return store
}
