/* Answers ICMP and ICMPv6 echo requests without the stack. */
#include "net.h"

/* The kernel's own headers for these pull in the C library's. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__u16 check;
	__be32 rest;
};

#define ECHO 8
#define ECHO_REPLY 0
#define ECHO6 128
#define ECHO6_REPLY 129

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} answered SEC(".maps");

static __always_inline void count(__u32 version)
{
	__u64 *n = bpf_map_lookup_elem(&answered, &version);

	if (n)
		*n += 1;
}

/* The checksum after a 16-bit field went from old to fresh (RFC 1624). */
static __always_inline __u16 adjust(__u16 check, __u16 old, __u16 fresh)
{
	__u32 sum = (__u16)~check + (__u16)~old + fresh;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int echo4(struct ethhdr *eth, void *end)
{
	struct iphdr *ip = (void *)(eth + 1);
	struct icmp_header *icmp = (void *)(ip + 1);
	__be32 addr;

	if ((void *)(icmp + 1) > end)
		return XDP_PASS;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_ICMP || icmp->type != ECHO || icmp->code)
		return XDP_PASS;
	icmp->type = ECHO_REPLY;
	icmp->check = adjust(icmp->check, bpf_htons(ECHO << 8), 0);
	addr = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = addr;
	swap_macs(eth);
	count(0);
	return XDP_TX;
}

static __always_inline int echo6(struct ethhdr *eth, void *end)
{
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct icmp_header *icmp = (void *)(ip + 1);
	struct in6_addr addr;

	if ((void *)(icmp + 1) > end)
		return XDP_PASS;
	if (ip->nexthdr != IPPROTO_ICMPV6 || icmp->type != ECHO6)
		return XDP_PASS;
	icmp->type = ECHO6_REPLY;
	icmp->check = adjust(icmp->check, bpf_htons(ECHO6 << 8), bpf_htons(ECHO6_REPLY << 8));
	addr = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = addr;
	swap_macs(eth);
	count(1);
	return XDP_TX;
}

SEC("xdp")
int echo(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		return echo4(eth, end);
	case bpf_htons(ETH_P_IPV6):
		return echo6(eth, end);
	}
	return XDP_PASS;
}

LICENSE_GPL;
