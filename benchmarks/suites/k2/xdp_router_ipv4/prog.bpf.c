/* IPv4 router with its own tables: longest prefix match, exact match and neighbours. */
#include "net.h"

struct route_key {
	__u32 bits;
	__be32 addr;
};

struct route {
	__be32 net;
	__u32 metric;
	__u32 port;
	__be32 gateway;
	__u64 mac;
};

struct direct {
	__u64 mac;
	__u32 port;
	__u32 pad;
	__u64 source_mac;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct route_key);
	__type(value, struct route);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, __be32);
	__type(value, struct direct);
} exact SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, __be32);
	__type(value, __u64);
} neighbours SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} port_macs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} by_protocol SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 100);
	__type(key, int);
	__type(value, int);
} ports SEC(".maps");

static __always_inline void write_macs(struct ethhdr *eth, __u64 *dest, __u64 *source)
{
	__builtin_memcpy(eth->h_dest, dest, ETH_ALEN);
	__builtin_memcpy(eth->h_source, source, ETH_ALEN);
}

SEC("xdp")
int route_packet(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	struct iphdr *ip;
	struct direct *d;
	__u64 off = sizeof(*eth);
	__u64 *dest, *source, *count;
	__be16 type;
	__u32 proto, port;

	if (data + off > end)
		return XDP_DROP;
	type = eth->h_proto;
	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD)) {
		struct vlan_tag *tag = data + off;

		off += sizeof(*tag);
		if (data + off > end)
			return XDP_DROP;
		type = tag->proto;
	}
	if (type != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	ip = data + off;
	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	proto = ip->protocol;
	count = bpf_map_lookup_elem(&by_protocol, &proto);
	if (count)
		*count += 1;
	d = bpf_map_lookup_elem(&exact, &ip->daddr);
	if (d) {
		dest = &d->mac;
		source = &d->source_mac;
		port = d->port;
	} else {
		struct route_key key = { .bits = 32, .addr = ip->daddr };
		struct route *r = bpf_map_lookup_elem(&routes, &key);
		__be32 hop;

		if (!r)
			return XDP_PASS;
		port = r->port;
		hop = r->gateway ? r->gateway : ip->daddr;
		dest = bpf_map_lookup_elem(&neighbours, &hop);
		if (!dest) {
			if (!r->gateway)
				return XDP_PASS;
			dest = &r->mac;
		}
		source = bpf_map_lookup_elem(&port_macs, &port);
		if (!source)
			return XDP_DROP;
	}
	if (ip->ttl <= 1)
		return XDP_PASS;
	drop_ttl(ip);
	write_macs(eth, dest, source);
	return bpf_redirect_map(&ports, port, 0);
}

LICENSE_GPL;
