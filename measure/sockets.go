package measure

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// socketRig runs programs on socket addresses (cgroup/recvmsg4 and its kin):
// sockets in a control group and a network namespace of their own make the system
// calls that the programs are hooked to. Addresses and ports are those in the
// input packet, the source's where something is received, else the
// destination's. What is seen is the error and the address that came of it.
type socketRig struct {
	inGroup
	hook  socketHook
	socks []int
	raw   int // sends datagrams from any address, and sees all that are sent
	ids   []uint64
}

// rigSockets is how many sockets take turns.
const rigSockets = 2

// rigPort is the first socket's port.
const rigPort = 20000

// socketHook says how a hook is reached.
type socketHook struct {
	v6, source bool
	// call makes the system call and returns the address seen after it.
	call func(r *socketRig, which int, a endpoint) ([]byte, error)
}

// socketHooks is indexed by enum bpf_attach_type.
var socketHooks = map[uint32]socketHook{
	2:  {call: (*socketRig).create},
	8:  {call: (*socketRig).bind},
	9:  {v6: true, call: (*socketRig).bind},
	10: {call: (*socketRig).connect},
	11: {v6: true, call: (*socketRig).connect},
	12: {call: (*socketRig).bind},
	13: {v6: true, call: (*socketRig).bind},
	14: {call: (*socketRig).send},
	15: {v6: true, call: (*socketRig).send},
	19: {source: true, call: (*socketRig).receive},
	20: {v6: true, source: true, call: (*socketRig).receive},
	29: {call: (*socketRig).peerName},
	30: {v6: true, call: (*socketRig).peerName},
	31: {call: (*socketRig).bind},
	32: {v6: true, call: (*socketRig).bind},
}

func newSocketRig(inst *Instance, kind progKind) (_ *socketRig, err error) {
	hook, ok := socketHooks[inst.AttachType]
	if !ok {
		return nil, errNoEvent(kind, "nothing here raises its event (attach type %d)", inst.AttachType)
	}
	r := &socketRig{inGroup: inGroup{kind: inst.AttachType}, hook: hook}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if err := r.join(kind); err != nil {
		return nil, err
	}
	if err := testbed.EveryAddressIsLocal(); err != nil {
		return nil, err
	}
	for i := range rigSockets {
		s, err := r.datagrams()
		if err != nil {
			return nil, err
		}
		r.socks, r.open = append(r.socks, s), append(r.open, s)
		cookie, err := unix.GetsockoptUint64(s, unix.SOL_SOCKET, unix.SO_COOKIE)
		if err != nil {
			return nil, fmt.Errorf("socket cookie: %w", err)
		}
		r.ids = append(r.ids, cookie)
		if err := unix.Bind(s, endpoint{v6: hook.v6, port: rigPort + uint16(i)}.sockaddr()); err != nil {
			return nil, fmt.Errorf("bind: %w", err)
		}
		if hook.v6 { // the datagrams made here have no checksum
			const udpNoCheck6Rx = 102
			if err := unix.SetsockoptInt(s, unix.IPPROTO_UDP, udpNoCheck6Rx, 1); err != nil {
				return nil, fmt.Errorf("socket: %w", err)
			}
		}
	}
	family, proto := unix.AF_INET, unix.IPPROTO_RAW
	if hook.v6 {
		family = unix.AF_INET6
	}
	if !hook.source {
		proto = unix.IPPROTO_UDP // sees what is sent
	}
	r.raw, err = r.socket(family, unix.SOCK_RAW, proto)
	return r, err
}

// datagrams opens a socket that the caller closes.
func (r *socketRig) datagrams() (int, error) {
	family := unix.AF_INET
	if r.hook.v6 {
		family = unix.AF_INET6
	}
	s, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if r.hook.v6 {
		// Binding asks for more than a local route.
		if err := unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
			return -1, errors.Join(fmt.Errorf("socket: %w", err), unix.Close(s))
		}
	}
	return s, nil
}

func (r *socketRig) cookies() []uint64 { return r.ids }

func (r *socketRig) once(insts []*Instance, in Input, outs []*loader.TestRun) error {
	which, a := r.endpointOf(in)
	return r.each(insts, outs, func() ([]byte, error) { return r.hook.call(r, which, a) })
}

func (r *socketRig) many(inst *Instance, in Input, n int) (time.Duration, error) {
	which, a := r.endpointOf(in)
	d, runs, err := r.repeat(inst, n, func() ([]byte, error) { return r.hook.call(r, which, a) })
	if err == nil && runs != n {
		err = fmt.Errorf("%d system calls ran the program %d times", n, runs)
	}
	return d, err
}

func (r *socketRig) changed(in Input, t *loader.TestRun) bool {
	_, a := r.endpointOf(in)
	return !bytes.Equal(t.Out, a.bytes())
}

// endpoint is an address with a port.
type endpoint struct {
	v6   bool
	addr [16]byte // 4 of them for IPv4
	port uint16
}

// endpointOf takes an address from a packet's bytes, and which socket is to use it.
func (r *socketRig) endpointOf(in Input) (which int, a endpoint) {
	var b [64]byte // the Ethernet, IP and UDP headers; zeros where the packet is shorter
	copy(b[:], in.Data)
	a.v6 = r.hook.v6
	src, n, ports := 26, 4, 34
	if a.v6 {
		src, n, ports = 22, 16, 54
	}
	own := b[ports+3]
	if !r.hook.source {
		src, ports, own = src+n, ports+2, b[ports+1]
	}
	copy(a.addr[:n], b[src:])
	a.port = max(binary.BigEndian.Uint16(b[ports:]), 1)
	// Multicast and what stands for no host have paths of their own in the kernel.
	if a.v6 {
		a.addr[0] &= 0x7f
		a.addr[15] |= 1
	} else {
		a.addr[0] = a.addr[0]%223 + 1
	}
	return int(own) % rigSockets, a
}

func (a endpoint) sockaddr() unix.Sockaddr {
	if a.v6 {
		return &unix.SockaddrInet6{Port: int(a.port), Addr: a.addr}
	}
	return &unix.SockaddrInet4{Port: int(a.port), Addr: [4]byte(a.addr[:4])}
}

// bytes is what comparisons see.
func (a endpoint) bytes() []byte {
	b := binary.BigEndian.AppendUint16(nil, a.port)
	if a.v6 {
		return append(b, a.addr[:]...)
	}
	return append(b, a.addr[:4]...)
}

func seen(sa unix.Sockaddr) []byte {
	switch s := sa.(type) {
	case *unix.SockaddrInet4:
		a := endpoint{port: uint16(s.Port)}
		copy(a.addr[:], s.Addr[:])
		return a.bytes()
	case *unix.SockaddrInet6:
		return endpoint{v6: true, port: uint16(s.Port), addr: s.Addr}.bytes()
	}
	return nil
}
