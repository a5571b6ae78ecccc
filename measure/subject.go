package measure

import (
	"errors"
	"fmt"

	"github.com/superbpf/superbpf/loader"
)

// Map gives the contents of one of a program's maps. loader.MapView is one.
type Map interface {
	Name() string
	Dump(*loader.MapDump) error
}

// Instance is a loaded program with maps of its own.
type Instance struct {
	FD   int
	Maps []Map
	// AttachType (enum bpf_attach_type) and Target, what the section names, say
	// which events run a program that the kernel does not test-run.
	AttachType uint32
	Target     string
	// Sockets is told the cookies of the sockets that will run the program, for
	// maps that hold them; it may be nil.
	Sockets func(cookies []uint64) error
	// Close releases program and maps; it may be nil.
	Close func() error
}

func (i *Instance) close() error {
	if i == nil || i.Close == nil {
		return nil
	}
	return i.Close()
}

// Subject is a program that can be loaded any number of times.
type Subject struct {
	Name string
	// Hash identifies the code in records.
	Hash string
	// Load makes a fresh instance whose maps have the initial contents, the same
	// every time. It runs on a thread in a private network namespace.
	Load func() (*Instance, error)
}

// Input is what a program runs on.
type Input struct {
	Name string
	Data []byte // the packet, from the Ethernet header on
	Ctx  []byte // the context, for types that take one
	// Weight is the input's share of the traffic; 0 counts as 1.
	Weight float64
}

func (i Input) weight() float64 {
	if i.Weight <= 0 {
		return 1
	}
	return i.Weight
}

// ErrNotMeasurable means that the kernel cannot run programs of this type on
// request.
var ErrNotMeasurable = errors.New("not measurable: the kernel does not test-run this program type")

func typedError(name string, err error) error {
	if errors.Is(err, loader.ErrNoTestRun) {
		err = ErrNotMeasurable
	}
	return fmt.Errorf("%s: %w", name, err)
}

// progKind is what BPF_PROG_TEST_RUN does for a program type.
type progKind struct {
	name string
	// attach: an unattached program pays a patched dispatcher in every call.
	attach bool
	// repeat: the kernel takes a repeat count.
	repeat bool
	// packet: the program gets packet bytes and gives them back.
	packet bool
	// ctxSize is the size of the context that comes back, 0 for none.
	ctxSize int
	// xdpCtx: the kernel wants a context from us to give one back.
	xdpCtx bool
	// events: the kernel refuses test runs, and a rig raises events instead.
	events bool
	// attachType loads the empty program.
	attachType uint32
}

// cold: each run is a system call of its own.
func (k progKind) cold() bool { return !k.repeat && !k.events }

// Sizes of the contexts that come back: struct xdp_md and struct __sk_buff.
const (
	xdpMDSize  = 24
	skbCtxSize = 192
)

// kinds is indexed by enum bpf_prog_type. Types that are absent are given to
// the kernel as they are; it refuses those that it cannot run.
var kinds = map[uint32]progKind{
	1:  {name: "socket_filter", repeat: true, packet: true, ctxSize: skbCtxSize},
	2:  {name: "kprobe", events: true},
	3:  {name: "sched_cls", repeat: true, packet: true, ctxSize: skbCtxSize},
	4:  {name: "sched_act", repeat: true, packet: true, ctxSize: skbCtxSize},
	5:  {name: "tracepoint", events: true},
	6:  {name: "xdp", attach: true, repeat: true, packet: true, xdpCtx: true, ctxSize: xdpMDSize},
	7:  {name: "perf_event", events: true},
	8:  {name: "cgroup_skb", repeat: true, packet: true, ctxSize: skbCtxSize},
	10: {name: "lwt_in", repeat: true, packet: true, ctxSize: skbCtxSize},
	11: {name: "lwt_out", repeat: true, packet: true, ctxSize: skbCtxSize},
	12: {name: "lwt_xmit", repeat: true, packet: true, ctxSize: skbCtxSize},
	9:  {name: "cgroup_sock", events: true},
	13: {name: "sock_ops", events: true},
	14: {name: "sk_skb"},
	15: {name: "cgroup_device", events: true},
	16: {name: "sk_msg"},
	17: {name: "raw_tracepoint"},
	18: {name: "cgroup_sock_addr", events: true},
	19: {name: "lwt_seg6local", repeat: true, packet: true, ctxSize: skbCtxSize},
	21: {name: "sk_reuseport"},
	23: {name: "cgroup_sysctl", events: true},
	25: {name: "cgroup_sockopt", events: true},
	26: {name: "tracing"},
	27: {name: "struct_ops"},
	28: {name: "ext"},
	29: {name: "lsm"},
	22: {name: "flow_dissector", repeat: true, packet: true},
	24: {name: "raw_tracepoint_writable"},
	30: {name: "sk_lookup", repeat: true, attachType: 36},
	31: {name: "syscall"},
	32: {name: "netfilter", repeat: true, packet: true, attachType: 45},
}

// TypeName names a program type (enum bpf_prog_type).
func TypeName(t uint32) string {
	if k, ok := kinds[t]; ok {
		return k.name
	}
	return fmt.Sprintf("type %d", t)
}

func kindOf(i *Instance) (uint32, progKind, error) {
	t, err := loader.ProgType(i.FD)
	if err != nil {
		return 0, progKind{}, fmt.Errorf("program type: %w", err)
	}
	k, ok := kinds[t]
	if !ok {
		k = progKind{name: TypeName(t)}
	}
	return t, k, nil
}

// prepare sets a run's inputs for a program of this kind. Buffers in r are
// reused.
func (k progKind) prepare(r *loader.TestRun, fd int, in Input, outputs bool) {
	r.Prog, r.Data, r.Ctx = fd, in.Data, in.Ctx
	if !k.packet && k.name != "sk_lookup" {
		r.Data = nil
	}
	if !outputs {
		r.Out, r.CtxOut = nil, nil
		return
	}
	if k.packet && k.name != "netfilter" {
		if cap(r.Out) == 0 {
			r.Out = make([]byte, maxOutput)
		}
	} else {
		r.Out = nil
	}
	if k.ctxSize > 0 {
		if cap(r.CtxOut) == 0 {
			r.CtxOut = make([]byte, k.ctxSize)
		}
		if k.xdpCtx && len(in.Ctx) == 0 {
			// The kernel gives the context back only for one given, and that
			// must name the packet's end.
			md := make([]byte, xdpMDSize)
			n := len(in.Data)
			md[4], md[5], md[6], md[7] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
			r.Ctx = md
		}
	}
}

// maxOutput bounds the packets that come back from a run, in bytes.
const maxOutput = 16 << 10
