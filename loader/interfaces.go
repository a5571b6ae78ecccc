package loader

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Interface is what a user who picks one for measurements wants to know.
type Interface struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`   // device, veth, bridge, ...
	Driver string `json:"driver"` // empty for virtual interfaces
	Up     bool   `json:"up"`
	MTU    int    `json:"mtu"`
	// DefaultRoute: AttachXDP refuses it unless forced.
	DefaultRoute bool `json:"default_route"`
	// Program is the number of an attached XDP program, 0 for none.
	Program uint32 `json:"program"`
}

// Interfaces lists those of the calling thread's network namespace.
func Interfaces() ([]Interface, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []Interface
	for _, l := range links {
		a := l.Attrs()
		i := Interface{Name: a.Name, Kind: l.Type(), Up: a.RawFlags&unix.IFF_UP != 0, MTU: a.MTU}
		if target, err := os.Readlink(filepath.Join("/sys/class/net", a.Name, "device/driver")); err == nil {
			i.Driver = filepath.Base(target)
		}
		if a.Xdp != nil && a.Xdp.Attached {
			i.Program = a.Xdp.ProgId
		}
		if i.DefaultRoute, err = carriesDefaultRoute(h, a.Index); err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, nil
}
