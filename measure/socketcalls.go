package measure

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// The system calls of a socketRig. Each returns what the caller or the wire sees
// afterwards, and the call's error number.

// arrival is how long a datagram over the loopback may take, in ms: it comes at
// once, unless the kernel's network thread is busy.
const arrival = 500

func wait(fd int) error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, arrival)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return errors.New("a datagram over the loopback did not arrive")
		}
		return nil
	}
}

func (r *socketRig) create(int, endpoint) ([]byte, error) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Close(s)
	}
	return nil, err
}

func (r *socketRig) bind(_ int, a endpoint) ([]byte, error) {
	s, err := r.datagrams()
	if err != nil {
		return nil, err
	}
	defer unix.Close(s)
	if err := unix.Bind(s, a.sockaddr()); err != nil {
		return nil, err
	}
	sa, err := unix.Getsockname(s)
	return seen(sa), err
}

func (r *socketRig) connect(which int, a endpoint) ([]byte, error) {
	if err := unix.Connect(r.socks[which], a.sockaddr()); err != nil {
		return nil, err
	}
	sa, err := unix.Getpeername(r.socks[which])
	return seen(sa), err
}

func (r *socketRig) peerName(which int, a endpoint) ([]byte, error) { return r.connect(which, a) }

func (r *socketRig) send(which int, a endpoint) ([]byte, error) {
	if err := unix.Sendto(r.socks[which], []byte("superbpf"), 0, a.sockaddr()); err != nil {
		return nil, err
	}
	if err := wait(r.raw); err != nil {
		return nil, err
	}
	n, from, err := unix.Recvfrom(r.raw, r.buf[:], unix.MSG_DONTWAIT)
	if err != nil {
		return nil, err
	}
	b := r.buf[:n]
	if !r.hook.v6 && n >= 28 { // IPv4 header and all
		return append(append([]byte(nil), b[12:24]...), b[20:24]...), nil
	}
	// Of IPv6, what follows the header, and the source.
	return append(append([]byte(nil), b[:min(n, 4)]...), seen(from)...), nil
}

// receive has a datagram come from the address.
func (r *socketRig) receive(which int, a endpoint) ([]byte, error) {
	const payload, udp = 8, 8
	p := r.buf[:0]
	to := endpoint{v6: a.v6, port: rigPort + uint16(which)}
	be := binary.BigEndian
	if a.v6 {
		to.addr[15] = 1
		p = append(p, 0x60, 0, 0, 0, 0, payload+udp, unix.IPPROTO_UDP, 64)
		p = append(append(p, a.addr[:]...), to.addr[:]...)
	} else {
		copy(to.addr[:], []byte{127, 0, 0, 1})
		p = append(p, 0x45, 0, 0, 20+payload+udp, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0)
		p = append(append(p, a.addr[:4]...), to.addr[:4]...)
	}
	p = be.AppendUint16(be.AppendUint16(p, a.port), to.port)
	p = append(be.AppendUint16(p, payload+udp), 0, 0)
	p = append(p, "superbpf"...)
	dst := endpoint{v6: a.v6, addr: to.addr} // a raw socket has no port
	if err := unix.Sendto(r.raw, p, 0, dst.sockaddr()); err != nil {
		return nil, errors.New("raw socket: " + err.Error())
	}
	if err := wait(r.socks[which]); err != nil {
		return nil, err
	}
	_, from, err := unix.Recvfrom(r.socks[which], r.buf[:], unix.MSG_DONTWAIT)
	return seen(from), err
}
