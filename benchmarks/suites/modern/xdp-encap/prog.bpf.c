/* VXLAN sender: packets to hosts behind a tunnel get outer Ethernet, IPv4, UDP
 * and VXLAN headers. */
#include "net.h"

#define VXLAN_PORT 4789
#define VXLAN_HAS_ID 0x08000000

struct tunnel {
	__be32 src;
	__be32 dst;
	__u8 dst_mac[ETH_ALEN];
	__u8 src_mac[ETH_ALEN];
	__u32 id;
};

struct vxlan {
	__be32 flags;
	__be32 id;
};

struct outer {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	struct vxlan vxlan;
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, struct tunnel);
} tunnels SEC(".maps");

static __always_inline __u16 header_check(struct iphdr *ip)
{
	__u16 *word = (void *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

SEC("xdp")
int wrap(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u16 length = end - data;
	struct tunnel *t;
	struct outer *o;
	__u32 hash;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	t = bpf_map_lookup_elem(&tunnels, &ip->daddr);
	if (!t)
		return XDP_PASS;
	hash = ip->saddr ^ ip->daddr ^ ip->protocol;
	hash ^= hash >> 16;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*o)))
		return XDP_DROP;
	o = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(o + 1) > end)
		return XDP_DROP;
	__builtin_memcpy(o->eth.h_dest, t->dst_mac, ETH_ALEN);
	__builtin_memcpy(o->eth.h_source, t->src_mac, ETH_ALEN);
	o->eth.h_proto = bpf_htons(ETH_P_IP);
	o->ip.version = 4;
	o->ip.ihl = 5;
	o->ip.tos = 0;
	o->ip.tot_len = bpf_htons(length + sizeof(*o) - sizeof(o->eth));
	o->ip.id = 0;
	o->ip.frag_off = bpf_htons(0x4000);
	o->ip.ttl = 64;
	o->ip.protocol = IPPROTO_UDP;
	o->ip.check = 0;
	o->ip.saddr = t->src;
	o->ip.daddr = t->dst;
	o->ip.check = header_check(&o->ip);
	o->udp.source = bpf_htons(0xc000 | (hash & 0x3fff));
	o->udp.dest = bpf_htons(VXLAN_PORT);
	o->udp.len = bpf_htons(length + sizeof(o->udp) + sizeof(o->vxlan));
	o->udp.check = 0;
	o->vxlan.flags = bpf_htonl(VXLAN_HAS_ID);
	o->vxlan.id = bpf_htonl(t->id << 8);
	return XDP_TX;
}

LICENSE_GPL;
