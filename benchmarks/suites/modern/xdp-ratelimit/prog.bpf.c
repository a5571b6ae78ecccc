/* Token buckets: a source may send as fast as its bucket fills. */
#include "net.h"

struct source {
	__u32 addr[4];
};

struct bucket {
	__u64 tokens; /* bytes */
	__u64 filled; /* ns */
	__u64 dropped;
};

struct limit {
	__u64 rate;  /* ns for 1024 bytes */
	__u64 burst; /* bytes */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct source);
	__type(value, struct bucket);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct limit);
} limits SEC(".maps");

SEC("xdp")
int limit(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	struct source key = {};
	__u32 zero = 0, length = end - data;
	struct bucket *b;
	struct limit *l;
	__u64 now, more, tokens;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end)
			return XDP_DROP;
		key.addr[0] = ip->saddr;
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end)
			return XDP_DROP;
		__builtin_memcpy(key.addr, &ip->saddr, sizeof(key.addr));
		key.addr[2] = key.addr[3] = 0; /* by /64 */
	} else {
		return XDP_PASS;
	}
	l = bpf_map_lookup_elem(&limits, &zero);
	if (!l || !l->rate)
		return XDP_PASS;
	now = bpf_ktime_get_ns();
	b = bpf_map_lookup_elem(&buckets, &key);
	if (!b) {
		struct bucket fresh = { .tokens = l->burst, .filled = now };

		bpf_map_update_elem(&buckets, &key, &fresh, BPF_ANY);
		return XDP_PASS;
	}
	more = (now - b->filled) * 1024 / l->rate;
	tokens = b->tokens + more;
	if (tokens > l->burst)
		tokens = l->burst;
	if (more)
		b->filled = now;
	if (tokens < length) {
		b->tokens = tokens;
		b->dropped++;
		return XDP_DROP;
	}
	b->tokens = tokens - length;
	return XDP_PASS;
}

LICENSE_GPL;
