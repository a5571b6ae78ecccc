package loader

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// XDPMode says where in the receive path an XDP program runs.
type XDPMode uint32

// The modes, by their netlink flags.
const (
	XDPGeneric XDPMode = nl.XDP_FLAGS_SKB_MODE // after the kernel made an skb
	XDPNative  XDPMode = nl.XDP_FLAGS_DRV_MODE // in the driver
)

func (m XDPMode) String() string {
	switch m {
	case XDPGeneric:
		return "generic"
	case XDPNative:
		return "native"
	}
	return fmt.Sprintf("XDPMode(%d)", uint32(m))
}

// Errors of AttachXDP.
var (
	// ErrDefaultRoute: the interface carries the host's default route, so a
	// program that drops or redirects would cut the host off.
	ErrDefaultRoute = errors.New("the interface carries the default route")
	// ErrNoNativeXDP: the driver refuses programs in native mode.
	ErrNoNativeXDP = errors.New("the driver does not take native XDP programs")
)

// XDPOptions steer AttachXDP.
type XDPOptions struct {
	Mode XDPMode
	// Force allows an interface that carries the default route.
	Force bool
	// Fallback allows generic mode where native is refused.
	Fallback bool
	// Tied has the kernel detach the program when this process dies, by a BPF
	// link in place of a netlink message. An interface that has a program
	// already is served by netlink all the same, since only that can replace it.
	Tied bool
}

// XDPAttachment is a program on an interface. Close puts back what was there
// before.
type XDPAttachment struct {
	Mode XDPMode // the mode in effect

	socket *nl.SocketHandle // in the interface's namespace
	index  int
	before int // file descriptor of the program attached before, or -1
	link   int // file descriptor of the BPF link, or -1
	tied   bool
	oldMod XDPMode
	closed bool
}

// AttachXDP attaches the program to an interface of the calling thread's
// network namespace.
func AttachXDP(iface string, prog int, o XDPOptions) (*XDPAttachment, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("attach XDP to %s: %w", iface, err)
	}
	defer h.Close()
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("attach XDP to %s: %w", iface, err)
	}
	a := &XDPAttachment{socket: &nl.SocketHandle{Socket: s}, before: -1, link: -1, tied: o.Tied, Mode: o.Mode}
	if err := a.attach(h, iface, prog, o); err != nil {
		s.Close()
		return nil, fmt.Errorf("attach XDP to %s: %w", iface, err)
	}
	return a, nil
}

func (a *XDPAttachment) attach(h *netlink.Handle, iface string, prog int, o XDPOptions) error {
	link, err := h.LinkByName(iface)
	if err != nil {
		return err
	}
	a.index = link.Attrs().Index
	if !o.Force {
		if carries, err := carriesDefaultRoute(h, link.Attrs().Index); err != nil {
			return err
		} else if carries {
			return ErrDefaultRoute
		}
	}
	if x := link.Attrs().Xdp; x != nil && x.Attached {
		if a.before, err = progFDByID(x.ProgId); err != nil {
			return fmt.Errorf("keep the attached program %d: %w", x.ProgId, err)
		}
		a.oldMod = XDPNative
		if x.AttachMode == nl.XDP_ATTACHED_SKB {
			a.oldMod = XDPGeneric
		}
		// The kernel allows one mode at a time.
		if a.oldMod != o.Mode {
			if err := a.set(-1, a.oldMod); err != nil {
				unix.Close(a.before)
				return err
			}
		}
	}
	err = a.set(prog, o.Mode)
	if err != nil && o.Mode == XDPNative && errors.Is(err, unix.EOPNOTSUPP) {
		err = fmt.Errorf("%w (%w)", ErrNoNativeXDP, err)
	}
	if err != nil && o.Mode == XDPNative && o.Fallback {
		if err2 := a.set(prog, XDPGeneric); err2 == nil {
			a.Mode, err = XDPGeneric, nil
		}
	}
	if err != nil {
		if a.before >= 0 {
			a.set(a.before, a.oldMod)
			unix.Close(a.before)
		}
		return err
	}
	return nil
}

// set attaches prog, or detaches with -1.
func (a *XDPAttachment) set(prog int, m XDPMode) error {
	switch {
	case !a.tied || a.before >= 0:
		return a.send(prog, m)
	case a.link < 0 && prog >= 0:
		fd, err := linkXDP(prog, a.index, m)
		if err == nil {
			a.link = fd
		}
		return err
	case prog >= 0:
		return linkUpdate(a.link, prog)
	case a.link >= 0:
		fd := a.link
		a.link = -1
		return unix.Close(fd)
	}
	return nil
}

// send attaches prog, or detaches with -1, by netlink. netlink.LinkSetXdpFdWithFlags would
// work in the calling thread's namespace; Close may run on any thread.
func (a *XDPAttachment) send(prog int, m XDPMode) error {
	return netlinkRetry(func() error {
		req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
		req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: a.socket}
		msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
		msg.Index = int32(a.index)
		req.AddData(msg)
		xdp := nl.NewRtAttr(unix.IFLA_XDP|unix.NLA_F_NESTED, nil)
		xdp.AddRtAttr(nl.IFLA_XDP_FD, nl.Uint32Attr(uint32(int32(prog))))
		xdp.AddRtAttr(nl.IFLA_XDP_FLAGS, nl.Uint32Attr(uint32(m)))
		req.AddData(xdp)
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
}

// Replace exchanges the attached program in place.
func (a *XDPAttachment) Replace(prog int) error { return a.set(prog, a.Mode) }

// Close detaches the program and restores what was attached before.
func (a *XDPAttachment) Close() error {
	if a == nil || a.closed {
		return nil
	}
	a.closed = true
	defer a.socket.Socket.Close()
	err := a.set(-1, a.Mode)
	if a.before >= 0 {
		err = errors.Join(err, a.set(a.before, a.oldMod), unix.Close(a.before))
	}
	return err
}

// carriesDefaultRoute reports whether a route without a destination, of either
// address family, leaves through the interface.
func carriesDefaultRoute(h *netlink.Handle, index int) (bool, error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := h.RouteList(nil, family)
		if err != nil {
			return false, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range routes {
			if r.Dst != nil {
				if ones, _ := r.Dst.Mask.Size(); ones != 0 {
					continue
				}
			}
			if r.LinkIndex == index {
				return true, nil
			}
			for _, hop := range r.MultiPath {
				if hop.LinkIndex == index {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

func netlinkRetry(f func() error) error {
	var err error
	for range maxSyscallRetries {
		if err = f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return err
}
