/* Walks the extension headers of IPv6 with a bounded loop and counts packets by
 * the protocol at the end; drops routing headers of type 0 and long chains. */
#include "net.h"

#define MAX_HEADERS 6

struct extension {
	__u8 next;
	__u8 length; /* 8 bytes each, beyond the first 8 */
	__u8 type;
	__u8 left;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} protocols SEC(".maps");

SEC("xdp")
int walk(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = (void *)(eth + 1);
	__u32 off = sizeof(*eth) + sizeof(*ip), key;
	__u64 *n;
	__u8 next;
	int i;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IPV6))
		return XDP_PASS;
	next = ip->nexthdr;
	for (i = 0; i < MAX_HEADERS; i++) {
		struct extension *e;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_FRAGMENT && next != IPPROTO_DSTOPTS)
			break;
		if (off > 1024)
			return XDP_DROP;
		e = data + off;
		if ((void *)(e + 1) > end)
			return XDP_DROP;
		if (next == IPPROTO_ROUTING && e->type == 0)
			return XDP_DROP;
		off += next == IPPROTO_FRAGMENT ? 8 : (e->length + 1) * 8;
		next = e->next;
	}
	if (i == MAX_HEADERS)
		return XDP_DROP;
	key = next;
	n = bpf_map_lookup_elem(&protocols, &key);
	if (n)
		*n += 1;
	return XDP_PASS;
}

LICENSE_GPL;
