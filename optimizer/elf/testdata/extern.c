// Needs another object.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} here SEC(".maps");

extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} elsewhere SEC(".maps");

SEC("xdp")
int uses_both(struct xdp_md *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&here, &key) && bpf_map_lookup_elem(&elsewhere, &key) ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
