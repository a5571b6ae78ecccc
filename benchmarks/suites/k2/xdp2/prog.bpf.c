/* Counts packets by IP protocol and sends the UDP ones back where they came from. */
#include "net.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, long);
} seen SEC(".maps");

static __always_inline int protocol(void *data, __u64 off, void *end, __be16 type)
{
	if (type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + off;

		if ((void *)(ip + 1) > end)
			return 0;
		return ip->protocol;
	}
	if (type == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + off;

		if ((void *)(ip + 1) > end)
			return 0;
		return ip->nexthdr;
	}
	return 0;
}

SEC("xdp")
int count_and_reflect(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	__u64 off = sizeof(*eth);
	__be16 type;
	__u32 proto;
	long *count;

	if (data + off > end)
		return XDP_DROP;
	type = eth->h_proto;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		struct vlan_tag *tag = data + off;

		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		off += sizeof(*tag);
		if (data + off > end)
			return XDP_DROP;
		type = tag->proto;
	}
	proto = protocol(data, off, end, type);
	count = bpf_map_lookup_elem(&seen, &proto);
	if (count)
		*count += 1;
	if (proto != IPPROTO_UDP)
		return XDP_DROP;
	swap_macs(eth);
	return XDP_TX;
}

LICENSE_GPL;
