/* TC egress: rewrites the source of inside connections to one address, keeps
 * each connection on its port, and repairs the checksums. */
#include <linux/pkt_cls.h>

#include "net.h"

struct connection {
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
	__u32 proto;
};

struct outside {
	__be32 addr;
	__be16 first;
	__u16 mask;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct connection);
	__type(value, __be16);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct outside);
} outside SEC(".maps");

#define L3_OFF ETH_HLEN
#define L4_OFF (ETH_HLEN + sizeof(struct iphdr))

static __always_inline __be16 pick_port(struct connection *c, struct outside *o)
{
	__u32 h = c->src ^ c->dst ^ ((__u32)c->sport << 16 | c->dport);

	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	return bpf_htons(bpf_ntohs(o->first) + (h & o->mask));
}

SEC("tc")
int source_nat(struct __sk_buff *skb)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *l4 = (void *)(ip + 1);
	struct connection c = {};
	struct outside *o;
	__be16 port, *known, old_port;
	__be32 old_addr, addr;
	__u32 zero = 0, check_off;

	if ((void *)(l4 + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5)
		return TC_ACT_OK;
	if (ip->frag_off & bpf_htons(0x3fff))
		return TC_ACT_SHOT;
	switch (ip->protocol) {
	case IPPROTO_TCP:
		check_off = L4_OFF + __builtin_offsetof(struct tcphdr, check);
		break;
	case IPPROTO_UDP:
		check_off = L4_OFF + __builtin_offsetof(struct udphdr, check);
		break;
	default:
		return TC_ACT_OK;
	}
	o = bpf_map_lookup_elem(&outside, &zero);
	if (!o || !o->addr)
		return TC_ACT_OK;
	c.src = ip->saddr;
	c.dst = ip->daddr;
	c.sport = l4->source;
	c.dport = l4->dest;
	c.proto = ip->protocol;
	known = bpf_map_lookup_elem(&ports, &c);
	if (known) {
		port = *known;
	} else {
		port = pick_port(&c, o);
		bpf_map_update_elem(&ports, &c, &port, BPF_ANY);
	}
	old_addr = c.src;
	old_port = c.sport;
	addr = o->addr;
	bpf_l4_csum_replace(skb, check_off, old_addr, addr, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | sizeof(addr));
	bpf_l4_csum_replace(skb, check_off, old_port, port, BPF_F_MARK_MANGLED_0 | sizeof(port));
	bpf_l3_csum_replace(skb, L3_OFF + __builtin_offsetof(struct iphdr, check), old_addr, addr, sizeof(addr));
	bpf_skb_store_bytes(skb, L3_OFF + __builtin_offsetof(struct iphdr, saddr), &addr, sizeof(addr), 0);
	bpf_skb_store_bytes(skb, L4_OFF, &port, sizeof(port), 0);
	return TC_ACT_OK;
}

LICENSE_GPL;
