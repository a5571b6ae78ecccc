/* Looks the source MAC address up and counts what it finds. */
#include "net.h"

struct mac {
	__u8 addr[ETH_ALEN];
	__be16 vlan;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct mac);
	__type(value, __u64);
} hosts SEC(".maps");

SEC("xdp")
int find_host(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	struct mac key = {};
	__u64 *count;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	__builtin_memcpy(key.addr, eth->h_source, ETH_ALEN);
	count = bpf_map_lookup_elem(&hosts, &key);
	if (!count)
		return XDP_PASS;
	*count += end - data;
	return XDP_TX;
}

LICENSE_GPL;
