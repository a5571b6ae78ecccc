package loader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrNoFeatures is returned by kernels that do not tell what an interface's
// driver can do (before 6.3).
var ErrNoFeatures = errors.New("this kernel does not tell what drivers can do with XDP: it takes Linux 6.3")

// From include/uapi/linux/netdev.h.
const (
	netdevDevGet      = 1
	netdevIfindex     = 1
	netdevXDPFeatures = 3
)

// xdpFeatureNames are the bits of enum netdev_xdp_act.
var xdpFeatureNames = []string{"native", "redirect", "transmit", "zero-copy", "offload", "multi-buffer", "multi-buffer transmit"}

// XDPFeatures lists what an interface's driver says that it can do with XDP:
// "native" that programs run in the driver. Nothing is attached.
func XDPFeatures(iface string) ([]string, error) {
	dev, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", iface, err)
	}
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return nil, ErrNoFeatures
	}
	q := nl.NewNetlinkRequest(int(family.ID), 0)
	// The library's own header leaves bytes unset that must be zero.
	q.AddRawData(append([]byte{netdevDevGet, 1, 0, 0}, nl.NewRtAttr(netdevIfindex, nl.Uint32Attr(uint32(dev.Index))).Serialize()...))
	msgs, err := q.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return nil, fmt.Errorf("XDP features of %s: %w", iface, err)
	}
	var out []string
	for _, m := range msgs {
		if len(m) < nl.SizeofGenlmsg {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[nl.SizeofGenlmsg:])
		if err != nil {
			return nil, fmt.Errorf("XDP features of %s: %w", iface, err)
		}
		for _, a := range attrs {
			if a.Attr.Type&0x3fff != netdevXDPFeatures || len(a.Value) < 8 {
				continue
			}
			for bit, name := range xdpFeatureNames {
				if binary.NativeEndian.Uint64(a.Value)>>bit&1 == 1 {
					out = append(out, name)
				}
			}
		}
	}
	return out, nil
}
