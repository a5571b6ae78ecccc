/* Socket filter: parses an MPLS label and dispatches on what is below it. */
#include "net.h"

#define PARSE_MPLS 2
#define PARSE_IP 3
#define PARSE_IPV6 4
#define BOTTOM 0x100

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 8);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} parsers SEC(".maps");

SEC("socket")
int parse_label(struct __sk_buff *skb)
{
	__u32 at = skb->cb[0];
	__be32 wire = 0;
	__u32 label;
	__u8 version = 0;

	if (bpf_skb_load_bytes(skb, at, &wire, sizeof(wire)) < 0)
		return 0;
	label = bpf_ntohl(wire);
	at += sizeof(wire);
	skb->cb[0] = at;
	if (!(label & BOTTOM)) {
		bpf_tail_call(skb, &parsers, PARSE_MPLS);
		return 0;
	}
	if (bpf_skb_load_bytes(skb, at, &version, sizeof(version)) < 0)
		return 0;
	if ((version & 0xf0) == 0x40)
		bpf_tail_call(skb, &parsers, PARSE_IP);
	else
		bpf_tail_call(skb, &parsers, PARSE_IPV6);
	return 0;
}

LICENSE_GPL;
