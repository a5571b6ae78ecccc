/* TC: sets the DSCP of IPv4 packets by destination prefix or port, through the
 * packet itself, and the priority to match. */
#include <linux/pkt_cls.h>

#include "net.h"

struct prefix {
	__u32 bits;
	__be32 addr;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 256);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __be16);
	__type(value, __u8);
} by_port SEC(".maps");

/* Writes the byte and repairs the header checksum. */
static __always_inline void set_tos(struct iphdr *ip, __u8 tos)
{
	__u16 old, fresh, *word = (void *)ip;
	__u32 sum;

	old = *word;
	ip->tos = tos;
	fresh = *word;
	sum = (__u16)~ip->check + (__u16)~old + fresh;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~sum;
}

SEC("tc")
int mark_class(struct __sk_buff *skb)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct prefix key;
	__u32 class = 0, *by_prefix;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return TC_ACT_UNSPEC;
	key.bits = 32;
	key.addr = ip->daddr;
	by_prefix = bpf_map_lookup_elem(&prefixes, &key);
	if (by_prefix)
		class = *by_prefix;
	if (ip->protocol == IPPROTO_UDP || ip->protocol == IPPROTO_TCP) {
		struct udphdr *l4 = (void *)ip + ip->ihl * 4;
		__u8 *known;

		if ((void *)(l4 + 1) > end)
			return TC_ACT_SHOT;
		known = bpf_map_lookup_elem(&by_port, &l4->dest);
		if (known && *known > class)
			class = *known;
	}
	if (!class)
		return TC_ACT_OK;
	set_tos(ip, (ip->tos & 3) | (class & 63) << 2);
	skb->priority = (class & 63) >> 3;
	return TC_ACT_OK;
}

LICENSE_GPL;
