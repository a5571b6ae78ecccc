package testbed

import (
	"fmt"

	"github.com/superbpf/superbpf/loader"
)

// Probe says what of the testbed works on this host, with the remedy for what
// does not.
func Probe() []loader.Capability {
	list := []loader.Capability{
		{Name: "network namespace", Note: "private, unnamed, freed with the process"},
		{Name: "veth pair", Note: "needs the veth module: modprobe veth"},
		{Name: "generic XDP on veth"},
		{Name: "native XDP on veth"},
		{Name: "XDP live frames", Note: "needs Linux 5.18; throughput is not measured without it"},
	}
	fail := func(i int, err error) []loader.Capability {
		list[i].Note = fmt.Sprintf("%v (%s)", err, list[i].Note)
		for j := i + 1; j < len(list); j++ {
			list[j].Note = "not tried: " + list[i].Name + " is missing"
		}
		return list
	}
	ns, err := NewNamespace()
	if err != nil {
		return fail(0, err)
	}
	defer ns.Close()
	list[0].OK = true
	pair, err := ns.NewPair(true)
	if err != nil {
		return fail(1, err)
	}
	list[1].OK, list[1].Note = true, ""
	// r0 = XDP_DROP; exit
	prog, err := loader.LoadRaw(6, []byte{0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0}, loader.RawOptions{Name: "probe"})
	if err != nil {
		return fail(2, err)
	}
	defer prog.Close()
	for i, mode := range []loader.XDPMode{loader.XDPGeneric, loader.XDPNative} {
		c := &list[2+i]
		a, err := ns.Attach(pair.Left, prog.FD(), mode)
		if err != nil {
			c.Note = err.Error()
			continue
		}
		c.OK = a.Close() == nil
	}
	err = ns.Do(func() error {
		t := loader.TestRun{Prog: prog.FD(), Data: make([]byte, 60), Repeat: 64, Flags: loader.LiveFrames, Batch: 64}
		return t.Run()
	})
	if err != nil {
		return fail(4, err)
	}
	list[4].OK, list[4].Note = true, ""
	return list
}
