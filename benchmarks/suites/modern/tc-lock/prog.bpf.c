/* TC: packets, bytes, smallest, largest and a moving mean by flow, kept
 * together under a lock; a second program of the section forgets a flow. */
#include <linux/pkt_cls.h>

#include "net.h"

struct flow {
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 pad[3];
};

struct stats {
	struct bpf_spin_lock lock;
	__u32 mean; /* bytes, by 1/8 */
	__u64 packets;
	__u64 bytes;
	__u32 smallest;
	__u32 largest;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow);
	__type(value, struct stats);
} flows SEC(".maps");

static __always_inline int parse(struct __sk_buff *skb, struct flow *f)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *l4 = (void *)(ip + 1);

	if ((void *)(l4 + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5)
		return -1;
	__builtin_memset(f, 0, sizeof(*f));
	f->src = ip->saddr;
	f->dst = ip->daddr;
	f->proto = ip->protocol;
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) {
		f->sport = l4->source;
		f->dport = l4->dest;
	}
	return 0;
}

SEC("tc")
int flow_stats(struct __sk_buff *skb)
{
	__u32 length = skb->len;
	struct stats *s;
	struct flow f;

	if (parse(skb, &f))
		return TC_ACT_OK;
	s = bpf_map_lookup_elem(&flows, &f);
	if (!s) {
		struct stats fresh = { .mean = length, .packets = 1, .bytes = length, .smallest = length, .largest = length };

		bpf_map_update_elem(&flows, &f, &fresh, BPF_NOEXIST);
		return TC_ACT_OK;
	}
	bpf_spin_lock(&s->lock);
	s->packets++;
	s->bytes += length;
	s->mean += ((__s32)length - (__s32)s->mean) >> 3;
	if (length < s->smallest)
		s->smallest = length;
	if (length > s->largest)
		s->largest = length;
	bpf_spin_unlock(&s->lock);
	return TC_ACT_OK;
}

SEC("tc")
int forget(struct __sk_buff *skb)
{
	struct flow f;

	if (!parse(skb, &f))
		bpf_map_delete_elem(&flows, &f);
	return TC_ACT_OK;
}

LICENSE_GPL;
