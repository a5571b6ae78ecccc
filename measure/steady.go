package measure

import (
	"bytes"

	"github.com/superbpf/superbpf/loader"
)

// steady reports whether repeated runs over one packet buffer are all alike:
// the kernel hands the second run what the first made of the packet. That holds
// for a program that leaves the packet alone or writes the same into it again,
// and for one that turns it around and back. Anything else drifts: headers pile
// up or go, an address that was translated is not found again.
func (k progKind) steady(fd int, in Input) (bool, error) {
	if !k.packet {
		return true, nil
	}
	type outcome struct {
		ret uint32
		out []byte
		ctx []byte
	}
	var seen [4]outcome
	for n := 1; n <= 3; n++ {
		var r loader.TestRun
		k.prepare(&r, fd, in, true)
		r.Repeat = n
		if err := r.Run(); err != nil {
			return false, err
		}
		seen[n] = outcome{r.Ret, r.Out, r.CtxOut}
	}
	if seen[1].ret != seen[2].ret || seen[2].ret != seen[3].ret {
		return false, nil
	}
	if k.name == "flow_dissector" || k.name == "netfilter" {
		return true, nil // what comes back is no packet
	}
	same := func(a, b outcome) bool { return bytes.Equal(a.out, b.out) }
	if same(seen[1], seen[2]) && same(seen[2], seen[3]) {
		return true, nil
	}
	return bytes.Equal(seen[2].out, in.Data) && same(seen[1], seen[3]), nil
}
