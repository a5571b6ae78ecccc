/* Socket filter: dispatches a packet to a parser by its Ethernet type. */
#include "net.h"

#define PARSE_VLAN 1
#define PARSE_MPLS 2
#define PARSE_IP 3
#define PARSE_IPV6 4

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 8);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} parsers SEC(".maps");

SEC("socket")
int dispatch(struct __sk_buff *skb)
{
	__be16 wire = 0;
	__u16 proto;

	if (bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_proto), &wire, sizeof(wire)) < 0)
		return 0;
	proto = bpf_ntohs(wire);
	skb->cb[0] = ETH_HLEN;
	switch (proto) {
	case ETH_P_8021Q:
	case ETH_P_8021AD:
		bpf_tail_call(skb, &parsers, PARSE_VLAN);
		break;
	case ETH_P_MPLS_UC:
	case ETH_P_MPLS_MC:
		bpf_tail_call(skb, &parsers, PARSE_MPLS);
		break;
	case ETH_P_IP:
		bpf_tail_call(skb, &parsers, PARSE_IP);
		break;
	case ETH_P_IPV6:
		bpf_tail_call(skb, &parsers, PARSE_IPV6);
		break;
	}
	return 0;
}

LICENSE_GPL;
