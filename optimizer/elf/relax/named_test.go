package relax

import "testing"

func TestCheckType(t *testing.T) {
	for _, s := range []string{"xdp", "xdp.frags", "tc", "socket", "cgroup_skb/egress", "kprobe", "kprobe/some_function", "tracepoint/a/b", "lsm/file_open", "struct_ops"} {
		if err := CheckType(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"", "foo", "XDP", "maps", "license", ".text", "kprob"} {
		if CheckType(s) == nil {
			t.Errorf("%q is taken for a type", s)
		}
	}
}
