package testbed

import (
	"fmt"
	"math/rand/v2"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
)

// Pair is a veth pair inside a namespace: what enters one end leaves the other.
type Pair struct {
	Left, Right           string
	LeftIndex, RightIndex int
	LeftMAC, RightMAC     net.HardwareAddr
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("loopback up: %w", err)
	}
	return nil
}

// NewPair makes a veth pair with random names and one queue. An end that is
// down still holds programs; up is for pairs that carry packets.
func (n *Namespace) NewPair(up bool) (*Pair, error) {
	p := new(Pair)
	err := n.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		id := rand.Uint32()
		p.Left, p.Right = fmt.Sprintf("sb%08xl", id), fmt.Sprintf("sb%08xr", id)
		attrs := netlink.NewLinkAttrs()
		attrs.Name = p.Left
		attrs.NumTxQueues, attrs.NumRxQueues = 1, 1
		if err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: p.Right, PeerNumTxQueues: 1, PeerNumRxQueues: 1}); err != nil {
			return fmt.Errorf("make a veth pair: %w", err)
		}
		left, err := h.LinkByName(p.Left)
		if err != nil {
			return err
		}
		right, err := h.LinkByName(p.Right)
		if err != nil {
			return err
		}
		p.LeftIndex, p.RightIndex = left.Attrs().Index, right.Attrs().Index
		p.LeftMAC, p.RightMAC = left.Attrs().HardwareAddr, right.Attrs().HardwareAddr
		if !up {
			return nil
		}
		for _, l := range []netlink.Link{left, right} {
			if err := h.LinkSetUp(l); err != nil {
				return fmt.Errorf("%s up: %w", l.Attrs().Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("testbed: %w", err)
	}
	return p, nil
}

// Attach attaches an XDP program to an interface of the namespace.
func (n *Namespace) Attach(iface string, prog int, mode loader.XDPMode) (*loader.XDPAttachment, error) {
	var a *loader.XDPAttachment
	err := n.Do(func() (err error) {
		a, err = loader.AttachXDP(iface, prog, loader.XDPOptions{Mode: mode})
		return err
	})
	return a, err
}

// Remove deletes a pair.
func (n *Namespace) Remove(p *Pair) error {
	return n.Do(func() error {
		l, err := netlink.LinkByName(p.Left)
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
}

// Counters are an interface's totals.
type Counters struct{ RxPackets, TxPackets, RxDropped, TxDropped uint64 }

// Counters reads the totals of an interface of the namespace.
func (n *Namespace) Counters(iface string) (c Counters, err error) {
	err = n.Do(func() error { c, err = ReadCounters(iface); return err })
	return c, err
}

// ReadCounters reads the totals of an interface of the calling thread's
// namespace. A veth end counts what its XDP program saw as received.
func ReadCounters(iface string) (Counters, error) {
	l, err := netlink.LinkByName(iface)
	if err != nil {
		return Counters{}, fmt.Errorf("testbed: %w", err)
	}
	s := l.Attrs().Statistics
	if s == nil {
		return Counters{}, fmt.Errorf("testbed: %s has no statistics", iface)
	}
	return Counters{s.RxPackets, s.TxPackets, s.RxDropped, s.TxDropped}, nil
}
