/*
 * Layer 4 load balancer. A packet to a virtual address is given a real server
 * (by the server id in a QUIC connection id, from the connection table, or by
 * consistent hashing over a ring) and sent there in an IP-in-IP tunnel. ICMP
 * errors follow the flow that they are about; pings are answered.
 */
#include <linux/icmpv6.h>

#include "net.h"

#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8

/* linux/icmp.h wants the C library of the host. */
struct icmphdr {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__u8 rest[4];
};

#define VIPS 512
#define REALS 4096
#define RING 65537
#define CONNECTIONS 8192
#define MAX_QUIC_ID 0x10000

#define VIP_NO_SPORT 1
#define VIP_NO_LRU 2
#define VIP_QUIC 4
#define VIP_DPORT_HASH 8
#define REAL_IPV6 1
#define PACKET_SYN 1
#define PACKET_ICMP 2

#define CONNECTION_TIMEOUT 30000000000ULL
#define NEW_CONNECTIONS_MAX 125000
#define SECOND 1000000000ULL
#define MAX_ICMP_BYTES 98
#define FRAGMENT bpf_htons(0x3fff)

struct flow {
	union {
		__be32 src;
		__be32 src6[4];
	};
	union {
		__be32 dst;
		__be32 dst6[4];
	};
	__be16 ports[2];
	__u8 proto;
	__u8 pad[3];
};

struct vip {
	union {
		__be32 addr;
		__be32 addr6[4];
	};
	__be16 port;
	__u8 proto;
	__u8 pad;
};

struct vip_meta {
	__u32 flags;
	__u32 number;
};

struct real {
	union {
		__be32 addr;
		__be32 addr6[4];
	};
	__u32 flags;
};

struct connection {
	__u32 real;
	__u32 pad;
	__u64 seen;
};

struct control {
	__u8 gateway[8];
	__be32 source4;
	__be32 source6[4];
	__u32 ifindex;
};

struct traffic {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VIPS);
	__type(key, struct vip);
	__type(value, struct vip_meta);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNECTIONS);
	__type(key, struct flow);
	__type(value, struct connection);
} connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RING);
	__type(key, __u32);
	__type(value, __u32);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REALS);
	__type(key, __u32);
	__type(value, struct real);
} reals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_QUIC_ID);
	__type(key, __u32);
	__type(value, __u32);
} quic_servers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VIPS + 8);
	__type(key, __u32);
	__type(value, struct traffic);
} stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REALS);
	__type(key, __u32);
	__type(value, struct traffic);
} real_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} controls SEC(".maps");

/* Places in stats after the virtual addresses. */
enum { STAT_LRU = VIPS, STAT_MISS, STAT_NEW, STAT_ICMP, STAT_QUIC, STAT_QUIC_BAD, STAT_RATE, STAT_FRAGMENTS };

static __always_inline void count(__u32 which, __u32 bytes)
{
	struct traffic *t = bpf_map_lookup_elem(&stats, &which);

	if (t) {
		t->packets += 1;
		t->bytes += bytes;
	}
}

static __always_inline __u32 rotate(__u32 v, int by)
{
	return v << by | v >> (32 - by);
}

/* Bob Jenkins' lookup3 final mix. */
#define FINAL(a, b, c)           \
	{                        \
		c ^= b;          \
		c -= rotate(b, 14); \
		a ^= c;          \
		a -= rotate(c, 11); \
		b ^= a;          \
		b -= rotate(a, 25); \
		c ^= b;          \
		c -= rotate(b, 16); \
		a ^= c;          \
		a -= rotate(c, 4); \
		b ^= a;          \
		b -= rotate(a, 14); \
		c ^= b;          \
		c -= rotate(b, 24); \
	}

#define MIX(a, b, c)             \
	{                        \
		a -= c;          \
		a ^= rotate(c, 4); \
		c += b;          \
		b -= a;          \
		b ^= rotate(a, 6); \
		a += c;          \
		c -= b;          \
		c ^= rotate(b, 8); \
		b += a;          \
		a -= c;          \
		a ^= rotate(c, 16); \
		c += b;          \
		b -= a;          \
		b ^= rotate(a, 19); \
		a += c;          \
		c -= b;          \
		c ^= rotate(b, 4); \
		b += a;          \
	}

#define SEED 0xdeadbeef

static __always_inline __u32 hash2(__u32 a, __u32 b, __u32 seed)
{
	__u32 c = 0;

	a += SEED + seed;
	b += SEED + seed;
	c += SEED + seed;
	FINAL(a, b, c);
	return c;
}

static __always_inline __u32 hash4(const __be32 *k, __u32 seed)
{
	__u32 a = SEED + seed + k[0], b = SEED + seed + k[1], c = SEED + seed + k[2];

	MIX(a, b, c);
	a += k[3];
	FINAL(a, b, c);
	return c;
}

static __always_inline __u32 flow_hash(struct flow *f, int v6)
{
	__u32 ports = (__u32)f->ports[1] << 16 | f->ports[0];

	if (v6)
		return hash2(hash4(f->src6, VIPS), ports, RING);
	return hash2(f->src, ports, RING);
}

/* Checksum of an IPv4 header without options. */
static __always_inline __u16 header_checksum(struct iphdr *ip)
{
	__u16 *w = (__u16 *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += w[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int new_connections_limited(__u64 now)
{
	__u32 key = STAT_RATE;
	struct traffic *t = bpf_map_lookup_elem(&stats, &key);

	if (!t)
		return 1;
	/* Here bytes holds when the current second began. */
	if (now - t->bytes > SECOND) {
		t->packets = 1;
		t->bytes = now;
		return 0;
	}
	t->packets += 1;
	return t->packets > NEW_CONNECTIONS_MAX;
}

static __always_inline struct real *from_table(struct flow *f, __u32 *number, int tcp)
{
	struct connection *c = bpf_map_lookup_elem(&connections, f);
	__u64 now;

	if (!c)
		return 0;
	if (!tcp) {
		now = bpf_ktime_get_ns();
		if (now - c->seen > CONNECTION_TIMEOUT)
			return 0;
		c->seen = now;
	}
	*number = c->real;
	return bpf_map_lookup_elem(&reals, number);
}

static __always_inline struct real *from_ring(struct flow *f, struct vip_meta *meta, __u32 *number, int v6, int flags)
{
	struct connection fresh = {};
	struct real *server;
	__u32 key;
	__u32 *at;

	if (meta->flags & VIP_DPORT_HASH)
		f->ports[0] = f->ports[1];
	key = (meta->number * 127 + flow_hash(f, v6)) % RING;
	at = bpf_map_lookup_elem(&ring, &key);
	if (!at)
		return 0;
	*number = *at;
	server = bpf_map_lookup_elem(&reals, number);
	if (!server)
		return 0;
	if (meta->flags & VIP_NO_LRU || flags & PACKET_ICMP)
		return server;
	fresh.seen = bpf_ktime_get_ns();
	if (new_connections_limited(fresh.seen))
		return server;
	fresh.real = *number;
	bpf_map_update_elem(&connections, f, &fresh, BPF_ANY);
	count(STAT_NEW, 1);
	return server;
}

static __always_inline struct real *from_quic(void *l4, void *end, __u32 *number)
{
	__u8 *quic = l4 + sizeof(struct udphdr);
	__u32 server;
	__u32 *at;
	__u8 *id;

	if ((void *)(quic + 17) > end)
		return 0;
	if (quic[0] & 0x80) {
		/* Long header: initial and 0-RTT packets carry no chosen id. */
		if ((quic[0] & 0x30) < 0x20 || quic[5] < 8)
			return 0;
		id = quic + 6;
	} else {
		id = quic + 1;
	}
	/* Two bits of version, sixteen of server. */
	if (id[0] >> 6 != 1)
		return 0;
	server = (__u32)(id[0] & 0x3f) << 10 | (__u32)id[1] << 2 | id[2] >> 6;
	if (server >= MAX_QUIC_ID)
		return 0;
	at = bpf_map_lookup_elem(&quic_servers, &server);
	if (!at || *at == 0) {
		count(STAT_QUIC_BAD, 1);
		return 0;
	}
	*number = *at;
	count(STAT_QUIC, 1);
	return bpf_map_lookup_elem(&reals, number);
}

static __always_inline int wrap4(struct xdp_md *ctx, struct control *cv, struct real *to, struct flow *f, __u32 bytes)
{
	struct ethhdr *fresh, *old;
	struct iphdr *outer;
	void *data, *end;

	if (bpf_xdp_adjust_head(ctx, 0 - (int)sizeof(struct iphdr)))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	fresh = data;
	outer = data + sizeof(*fresh);
	old = data + sizeof(*outer);
	if ((void *)(fresh + 1) > end || (void *)(outer + 1) > end || (void *)(old + 1) > end)
		return XDP_DROP;
	__builtin_memcpy(fresh->h_source, old->h_dest, ETH_ALEN);
	__builtin_memcpy(fresh->h_dest, cv->gateway, ETH_ALEN);
	fresh->h_proto = bpf_htons(ETH_P_IP);
	outer->version = 4;
	outer->ihl = 5;
	outer->tos = 0;
	outer->tot_len = bpf_htons(bytes + sizeof(*outer));
	outer->id = 0;
	outer->frag_off = 0;
	outer->ttl = 64;
	outer->protocol = IPPROTO_IPIP;
	outer->check = 0;
	/* Spread over receive queues: the flow is in the source address. */
	outer->saddr = cv->source4 ^ ((f->src ^ f->ports[0]) & bpf_htonl(0xffff));
	outer->daddr = to->addr;
	outer->check = header_checksum(outer);
	return XDP_TX;
}

static __always_inline int wrap6(struct xdp_md *ctx, struct control *cv, struct real *to, struct flow *f, __u32 bytes, int v6)
{
	struct ethhdr *fresh, *old;
	struct ipv6hdr *outer;
	void *data, *end;

	if (bpf_xdp_adjust_head(ctx, 0 - (int)sizeof(struct ipv6hdr)))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	fresh = data;
	outer = data + sizeof(*fresh);
	old = data + sizeof(*outer);
	if ((void *)(fresh + 1) > end || (void *)(outer + 1) > end || (void *)(old + 1) > end)
		return XDP_DROP;
	__builtin_memcpy(fresh->h_source, old->h_dest, ETH_ALEN);
	__builtin_memcpy(fresh->h_dest, cv->gateway, ETH_ALEN);
	fresh->h_proto = bpf_htons(ETH_P_IPV6);
	outer->version = 6;
	outer->priority = 0;
	__builtin_memset(outer->flow_lbl, 0, sizeof(outer->flow_lbl));
	outer->payload_len = bpf_htons(bytes);
	outer->nexthdr = v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	outer->hop_limit = 64;
	outer->saddr.in6_u.u6_addr32[0] = cv->source6[0];
	outer->saddr.in6_u.u6_addr32[1] = cv->source6[1];
	outer->saddr.in6_u.u6_addr32[2] = cv->source6[2];
	outer->saddr.in6_u.u6_addr32[3] = (v6 ? f->src6[3] : f->src) ^ f->ports[0];
	__builtin_memcpy(&outer->daddr, to->addr6, sizeof(outer->daddr));
	return XDP_TX;
}

static __always_inline int answer_ping4(void *data, struct iphdr *ip, struct icmphdr *icmp)
{
	__u32 sum = icmp->checksum;
	__be32 addr = ip->daddr;

	/* From request (8) to reply (0): the checksum grows by the difference. */
	icmp->type = ICMP_ECHOREPLY;
	sum += bpf_htons(ICMP_ECHO << 8);
	icmp->checksum = sum + (sum >> 16);
	ip->daddr = ip->saddr;
	ip->saddr = addr;
	ip->ttl = 64;
	ip->check = 0;
	ip->check = header_checksum(ip);
	swap_macs(data);
	return XDP_TX;
}

static __always_inline int answer_ping6(void *data, struct ipv6hdr *ip, struct icmp6hdr *icmp)
{
	struct in6_addr addr = ip->daddr;
	__u32 sum = icmp->icmp6_cksum;

	icmp->icmp6_type = ICMPV6_ECHO_REPLY;
	sum -= bpf_htons(0x0100);
	icmp->icmp6_cksum = sum + (sum >> 16);
	ip->daddr = ip->saddr;
	ip->saddr = addr;
	ip->hop_limit = 64;
	swap_macs(data);
	return XDP_TX;
}

/* Reads the ports; those of an ICMP error's inner packet the other way round. */
static __always_inline int read_ports(struct flow *f, void *l4, void *end, int *flags)
{
	__be16 *ports = l4;

	if (f->proto == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) > end)
			return 0;
		if (tcp->syn)
			*flags |= PACKET_SYN;
	} else if (f->proto == IPPROTO_UDP) {
		if (l4 + sizeof(struct udphdr) > end)
			return 0;
	} else {
		return 0;
	}
	if (*flags & PACKET_ICMP) {
		f->ports[0] = ports[1];
		f->ports[1] = ports[0];
		*flags &= ~PACKET_SYN;
	} else {
		f->ports[0] = ports[0];
		f->ports[1] = ports[1];
	}
	return 1;
}

static __always_inline struct vip_meta *find_vip(struct vip *v)
{
	struct vip_meta *meta = bpf_map_lookup_elem(&vips, v);

	if (meta)
		return meta;
	v->port = 0;
	return bpf_map_lookup_elem(&vips, v);
}

static __always_inline int balance(struct xdp_md *ctx, struct flow *f, struct vip *v, void *l4, void *end, __u32 bytes, int v6, int flags)
{
	struct traffic *per_real;
	struct vip_meta *meta;
	struct real *to = 0;
	struct control *cv;
	__u32 number = 0, zero = 0;
	__u32 which;

	if (!read_ports(f, l4, end, &flags))
		return XDP_PASS;
	v->port = f->ports[1];
	v->proto = f->proto;
	meta = find_vip(v);
	if (!meta)
		return XDP_PASS;
	if (meta->flags & VIP_NO_SPORT)
		f->ports[0] = 0;
	if (meta->flags & VIP_QUIC && f->proto == IPPROTO_UDP && !(flags & PACKET_ICMP))
		to = from_quic(l4, end, &number);
	if (!to) {
		if (!(meta->flags & VIP_NO_LRU) && !(flags & PACKET_SYN))
			to = from_table(f, &number, f->proto == IPPROTO_TCP);
		if (to) {
			count(STAT_LRU, bytes);
		} else {
			if (f->proto == IPPROTO_TCP && !(flags & PACKET_SYN))
				count(STAT_MISS, bytes);
			to = from_ring(f, meta, &number, v6, flags);
			if (!to)
				return XDP_DROP;
		}
	}
	cv = bpf_map_lookup_elem(&controls, &zero);
	if (!cv)
		return XDP_DROP;
	which = meta->number;
	if (which < VIPS)
		count(which, bytes);
	per_real = bpf_map_lookup_elem(&real_stats, &number);
	if (per_real) {
		per_real->packets += 1;
		per_real->bytes += bytes;
	}
	if (to->flags & REAL_IPV6)
		return wrap6(ctx, cv, to, f, bytes, v6);
	if (v6)
		return XDP_DROP;
	return wrap4(ctx, cv, to, f, bytes);
}

static __always_inline int handle4(struct xdp_md *ctx, void *data, void *end)
{
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct flow f = {};
	struct vip v = {};
	void *l4 = ip + 1;
	__u32 bytes;
	int flags = 0;

	if (l4 > end || ip->ihl != 5)
		return XDP_DROP;
	if (ip->frag_off & FRAGMENT) {
		count(STAT_FRAGMENTS, 1);
		return XDP_DROP;
	}
	bytes = bpf_ntohs(ip->tot_len);
	f.proto = ip->protocol;
	if (ip->protocol == IPPROTO_ICMP) {
		struct icmphdr *icmp = l4;
		struct iphdr *inner = (void *)(icmp + 1);

		if ((void *)inner > end)
			return XDP_DROP;
		if (icmp->type == ICMP_ECHO)
			return answer_ping4(data, ip, icmp);
		if (icmp->type != ICMP_DEST_UNREACH)
			return XDP_PASS;
		if ((void *)(inner + 1) > end || inner->ihl != 5)
			return XDP_DROP;
		if (bytes > MAX_ICMP_BYTES)
			return XDP_DROP;
		count(STAT_ICMP, 1);
		flags |= PACKET_ICMP;
		f.proto = inner->protocol;
		f.src = inner->daddr;
		f.dst = inner->saddr;
		l4 = inner + 1;
	} else {
		f.src = ip->saddr;
		f.dst = ip->daddr;
	}
	v.addr = f.dst;
	return balance(ctx, &f, &v, l4, end, bytes, 0, flags);
}

static __always_inline int handle6(struct xdp_md *ctx, void *data, void *end)
{
	struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	struct flow f = {};
	struct vip v = {};
	void *l4 = ip + 1;
	__u32 bytes;
	int flags = 0;

	if (l4 > end)
		return XDP_DROP;
	if (ip->nexthdr == IPPROTO_FRAGMENT) {
		count(STAT_FRAGMENTS, 1);
		return XDP_DROP;
	}
	bytes = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	f.proto = ip->nexthdr;
	if (ip->nexthdr == IPPROTO_ICMPV6) {
		struct icmp6hdr *icmp = l4;
		struct ipv6hdr *inner = (void *)(icmp + 1);

		if ((void *)inner > end)
			return XDP_DROP;
		if (icmp->icmp6_type == ICMPV6_ECHO_REQUEST)
			return answer_ping6(data, ip, icmp);
		if (icmp->icmp6_type != ICMPV6_PKT_TOOBIG && icmp->icmp6_type != ICMPV6_DEST_UNREACH)
			return XDP_PASS;
		if ((void *)(inner + 1) > end)
			return XDP_DROP;
		count(STAT_ICMP, 1);
		flags |= PACKET_ICMP;
		f.proto = inner->nexthdr;
		__builtin_memcpy(f.src6, &inner->daddr, sizeof(f.src6));
		__builtin_memcpy(f.dst6, &inner->saddr, sizeof(f.dst6));
		l4 = inner + 1;
	} else {
		__builtin_memcpy(f.src6, &ip->saddr, sizeof(f.src6));
		__builtin_memcpy(f.dst6, &ip->daddr, sizeof(f.dst6));
	}
	__builtin_memcpy(v.addr6, f.dst6, sizeof(v.addr6));
	return balance(ctx, &f, &v, l4, end, bytes, 1, flags);
}

SEC("xdp")
int balancer(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return handle4(ctx, data, end);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return handle6(ctx, data, end);
	return XDP_PASS;
}

LICENSE_GPL;
