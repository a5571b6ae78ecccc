/* cgroup egress: bytes and packets by protocol; beyond its quota a protocol is
 * cut off. */
#include "net.h"

struct usage {
	__u64 bytes, packets, refused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} quotas SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct usage);
} used SEC(".maps");

SEC("cgroup_skb/egress")
int quota(struct __sk_buff *skb)
{
	__u32 protocol = 0;
	struct usage *u;
	__u64 *q;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
			return 0;
		protocol = ip.protocol;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
			return 0;
		protocol = ip.nexthdr;
	}
	u = bpf_map_lookup_elem(&used, &protocol);
	q = bpf_map_lookup_elem(&quotas, &protocol);
	if (!u || !q)
		return 1;
	if (*q && u->bytes + skb->len > *q) {
		u->refused += 1;
		return 0;
	}
	u->bytes += skb->len;
	u->packets += 1;
	return 1;
}

LICENSE_GPL;
