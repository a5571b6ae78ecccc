package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// OnSocket sends a request's packets through an interface of the calling thread's
// network namespace by a packet socket, which any driver takes. Time lost is not
// made up for: a burst would overflow the receiver.
func OnSocket(ctx context.Context, iface string, r Request) (reply Reply, err error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return reply, fmt.Errorf("interface %s: %w", iface, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return reply, fmt.Errorf("packet socket: %w", err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Ifindex: i.Index}
	if err := unix.Bind(fd, to); err != nil {
		return reply, fmt.Errorf("packet socket on %s: %w", iface, err)
	}
	gap := time.Duration(0)
	if r.Mpps > 0 {
		gap = time.Duration(1000 / r.Mpps)
	}
	start := time.Now()
	end := start.Add(time.Duration(r.Millis) * time.Millisecond)
	const lag = 20 * time.Microsecond
	due := start
	for n := 0; ; n++ {
		now := time.Now()
		for now.Before(due) {
			runtime.Gosched()
			now = time.Now()
		}
		if n%64 == 0 && (now.After(end) || ctx.Err() != nil) {
			break
		}
		due = maxTime(due, now.Add(-lag)).Add(gap)
		switch err := unix.Sendto(fd, r.Packets[n%len(r.Packets)], 0, to); {
		case err == nil:
			reply.Sent++
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			// The interface is full: this packet was not offered.
		default:
			return reply, fmt.Errorf("send on %s: %w", iface, err)
		}
	}
	reply.By = ByPacketSocket
	reply.Mpps = float64(reply.Sent) / float64(time.Since(start).Nanoseconds()) * 1000
	return reply, ctx.Err()
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
