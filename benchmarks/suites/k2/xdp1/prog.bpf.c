/* Drops every packet and counts it by IP protocol. */
#include "net.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, long);
} dropped SEC(".maps");

static __always_inline int parse_ipv4(void *data, __u64 off, void *end)
{
	struct iphdr *ip = data + off;

	if ((void *)(ip + 1) > end)
		return 0;
	return ip->protocol;
}

static __always_inline int parse_ipv6(void *data, __u64 off, void *end)
{
	struct ipv6hdr *ip = data + off;

	if ((void *)(ip + 1) > end)
		return 0;
	return ip->nexthdr;
}

SEC("xdp")
int count_and_drop(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	__u64 off = sizeof(*eth);
	__u32 proto = 0;
	__be16 type;
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
	if (type == bpf_htons(ETH_P_IP))
		proto = parse_ipv4(data, off, end);
	else if (type == bpf_htons(ETH_P_IPV6))
		proto = parse_ipv6(data, off, end);
	count = bpf_map_lookup_elem(&dropped, &proto);
	if (count)
		*count += 1;
	return XDP_DROP;
}

LICENSE_GPL;
