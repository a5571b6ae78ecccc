package measure

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// Loads are the loads of a curve, in percent of the highest loss-free rate.
var Loads = []int{10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 150}

// LoadPoint is what packets met at one offered load.
type LoadPoint struct {
	// Percent of the highest loss-free rate.
	Percent int `json:"percent"`
	Trial
	// Batch is how many packets the sender hands over at a time.
	Batch int `json:"batch"`
	// Waited counts packets by the time from when they were due to be sent until
	// the program began with them: index in units of WaitUnit ns, the last for all
	// beyond. Trailing zeros are left out.
	Waited []uint64 `json:"waited"`
}

// The histogram's unit in ns and its number of buckets.
const (
	WaitUnit    = 1 << waitShift
	waitShift   = 6
	waitBuckets = 4096
)

// Quantile returns the time, in ns, within which the share q of the packets was
// served; the bucket's upper edge. It is 0 if there are none.
func (p LoadPoint) Quantile(q float64) float64 {
	var all, sum uint64
	for _, n := range p.Waited {
		all += n
	}
	for i, n := range p.Waited {
		if sum += n; all > 0 && float64(sum) >= q*float64(all) {
			return float64(i+1) * WaitUnit
		}
	}
	return 0
}

// LoadResult is a program's curve.
type LoadResult struct {
	// Mpps is the rate that the percentages are of.
	Mpps   float64     `json:"mpps"`
	Points []LoadPoint `json:"points"`
}

// Mean returns the packets' average time in ns, by the middles of the buckets; 0 if
// there are none.
func (p LoadPoint) Mean() float64 {
	var all uint64
	sum := 0.0
	for i, n := range p.Waited {
		all += n
		sum += float64(n) * (float64(i) + 0.5) * WaitUnit
	}
	if all == 0 {
		return 0
	}
	return sum / float64(all)
}

// LoadCurve measures how long packets wait, and how many are lost, at loads in
// percent of the given rate; nil for Loads. A program in front of the one under test
// reads the time at which the packet was due, 8 bytes behind its end, and calls
// the other in its own place: what the program does with packets does not matter.
func LoadCurve(ctx context.Context, s Subject, in Input, mpps float64, percents []int, progress func(done, total int)) (_ *LoadResult, err error) {
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
	p := &pacer{ns: ns, in: in, stamped: true}
	p.in.Data = append(append([]byte(nil), in.Data...), make([]byte, stampSize)...)
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.open(s); err != nil {
		return nil, typedError(s.Name, err)
	}
	if percents == nil {
		percents = Loads
	}
	r := &LoadResult{Mpps: mpps}
	for i, percent := range percents {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rate := mpps * float64(percent) / 100
		// A batch waits until its last packet was made: keep that short.
		p.batch = min(max(int(rate*2), 1), liveBatch)
		if err := p.clearWaits(); err != nil {
			return nil, err
		}
		t, err := p.trial(rate)
		if err != nil {
			return nil, err
		}
		point := LoadPoint{Percent: percent, Trial: t, Batch: p.batch}
		if point.Waited, err = p.waits(); err != nil {
			return nil, err
		}
		r.Points = append(r.Points, point)
		if progress != nil {
			progress(i+1, len(percents))
		}
	}
	return r, nil
}

// stampSize is what a packet's time takes, in bytes.
const stampSize = 8

// front makes the program that counts a packet's waiting time and calls the one
// under test.
func (p *pacer) front() (err error) {
	const array, progArray = 2, 3
	if p.hist, err = loader.NewRawMap(array, 4, 8, waitBuckets); err != nil {
		return err
	}
	if p.jump, err = loader.NewRawMap(progArray, 4, 4, 1); err != nil {
		return err
	}
	var key, fd [4]byte
	binary.NativeEndian.PutUint32(fd[:], uint32(p.inst.FD))
	if err := p.jump.Update(key[:], fd[:]); err != nil {
		return fmt.Errorf("call the program from another: %w", err)
	}
	// The kernel lets a program call another only if both were loaded alike.
	const hasFrags = 1 << 5 // BPF_F_XDP_HAS_FRAGS
	code := waitCounter(len(p.in.Data)-stampSize, p.hist.FD(), p.jump.FD())
	for _, flags := range []uint32{0, hasFrags} {
		p.wrap, err = loader.LoadRaw(xdpType, code, loader.RawOptions{Name: "waited", AttachType: p.inst.AttachType, Flags: flags})
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("call the program from another: %w", err)
}

// waitCounter is:
//
//	if packet[at:at+8] can be read
//		waits[min((ktime() - it) >> shift, last)]++
//	tail call
//	return XDP_DROP
func waitCounter(at, hist, jump int) []byte {
	const helperLoadBytes, helperTailCall = 189, 12
	return slots(
		raw(opMovReg, 6, 1, 0, 0),  // r6 = ctx
		mov(2, int32(at)),          // offset
		raw(opMovReg, 3, 10, 0, 0), // r3 = r10 - 8
		raw(0x07, 3, 0, 0, -8),     //
		mov(4, stampSize),          //
		raw(0x85, 0, 0, 0, helperLoadBytes),
		raw(0x55, 0, 0, 18, 0), // if r0 != 0 goto call
		raw(0x85, 0, 0, 0, helperKtime),
		raw(0x79, 1, 10, -8, 0),           // r1 = the time due
		raw(0x1f, 0, 1, 0, 0),             // r0 -= r1
		raw(0x75, 0, 0, 1, 0),             // if r0 s>= 0 skip
		mov(0, 0),                         // r0 = 0
		raw(0x77, 0, 0, 0, waitShift),     // r0 >>= shift
		raw(0xb5, 0, 0, 1, waitBuckets-1), // if r0 <= last skip
		mov(0, waitBuckets-1),
		raw(0x63, 10, 0, -12, 0), // *(u32 *)(r10 - 12) = r0
		raw(opMovReg, 2, 10, 0, 0),
		raw(0x07, 2, 0, 0, -12),
		raw(0x18, 1, 1, 0, int32(hist)), slot8{},
		raw(0x85, 0, 0, 0, helperLookup),
		raw(0x15, 0, 0, 3, 0), // if r0 == 0 goto call
		raw(0x79, 1, 0, 0, 0), // (*r0)++: one CPU receives
		raw(0x07, 1, 0, 0, 1),
		raw(0x7b, 0, 1, 0, 0),
		raw(opMovReg, 1, 6, 0, 0), // call:
		raw(0x18, 2, 1, 0, int32(jump)), slot8{},
		mov(3, 0),
		raw(0x85, 0, 0, 0, helperTailCall),
		mov(0, xdpDrop),
		exit,
	)
}

func (p *pacer) clearWaits() error {
	var zero [8]byte
	return p.eachWait(func(key []byte, _ uint64) error { return p.hist.Update(key, zero[:]) })
}

func (p *pacer) waits() (out []uint64, err error) {
	out = make([]uint64, waitBuckets)
	last := -1
	err = p.eachWait(func(key []byte, n uint64) error {
		i := int(binary.NativeEndian.Uint32(key))
		out[i] = n
		last = max(last, i)
		return nil
	})
	return out[:last+1], err
}

// eachWait visits the buckets that are not empty.
func (p *pacer) eachWait(f func(key []byte, n uint64) error) error {
	var key [4]byte
	var value [8]byte
	for i := range waitBuckets {
		binary.NativeEndian.PutUint32(key[:], uint32(i))
		if err := p.hist.Lookup(key[:], value[:]); err != nil {
			return err
		}
		if n := binary.NativeEndian.Uint64(value[:]); n > 0 {
			if err := f(key[:], n); err != nil {
				return err
			}
		}
	}
	return nil
}
