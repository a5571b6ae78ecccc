/* Firewall: lets flows out that begin inside, and only their answers in. */
#include "net.h"

#define INSIDE 1
#define OUTSIDE 2

struct flow {
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
	__u16 proto;
	__u16 pad;
};

struct flow_state {
	__u8 in_port;
	__u8 out_port;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow);
	__type(value, struct flow_state);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 10);
	__type(key, int);
	__type(value, int);
} ports SEC(".maps");

/* The same key for both directions of a flow. */
static __always_inline void flow_key(struct flow *key, struct iphdr *ip, __be16 sport, __be16 dport)
{
	if (ip->saddr > ip->daddr) {
		key->src = ip->daddr;
		key->dst = ip->saddr;
		key->sport = dport;
		key->dport = sport;
	} else {
		key->src = ip->saddr;
		key->dst = ip->daddr;
		key->sport = sport;
		key->dport = dport;
	}
	key->proto = ip->protocol;
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct flow key = {};
	struct flow_state *known;
	struct udphdr *l4;

	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return XDP_DROP;
	l4 = (void *)(ip + 1);
	if ((void *)(l4 + 1) > end)
		return XDP_DROP;
	flow_key(&key, ip, l4->source, l4->dest);
	known = bpf_map_lookup_elem(&flows, &key);
	if (ctx->ingress_ifindex == INSIDE) {
		if (!known) {
			struct flow_state fresh = { .in_port = OUTSIDE, .out_port = INSIDE };

			bpf_map_update_elem(&flows, &key, &fresh, BPF_ANY);
		}
		return bpf_redirect_map(&ports, OUTSIDE, 0);
	}
	if (!known)
		return XDP_DROP;
	return bpf_redirect_map(&ports, known->out_port, 0);
}

LICENSE_GPL;
