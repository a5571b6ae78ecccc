/* VLAN gateway: a table says which tag a tag becomes; 0 pops it. Untagged
 * packets get the tag of the table's row 0. */
#include "net.h"

#define TAG_LEN 4

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} vlans SEC(".maps");

struct counts {
	__u64 pushed, popped, translated;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

static __noinline int push(struct xdp_md *ctx, __u16 id)
{
	struct ethhdr old, *eth;
	struct vlan_tag *tag;
	void *end;

	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > end)
		return -1;
	old = *eth;
	if (bpf_xdp_adjust_head(ctx, -TAG_LEN))
		return -1;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	tag = (void *)(eth + 1);
	if ((void *)(tag + 1) > end)
		return -1;
	*eth = old;
	eth->h_proto = bpf_htons(ETH_P_8021Q);
	tag->tci = bpf_htons(id);
	tag->proto = old.h_proto;
	return 0;
}

static __noinline int pop(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct vlan_tag *tag = (void *)(eth + 1);
	struct ethhdr fresh;

	if ((void *)(tag + 1) > end)
		return -1;
	fresh = *eth;
	fresh.h_proto = tag->proto;
	if (bpf_xdp_adjust_head(ctx, TAG_LEN))
		return -1;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > end)
		return -1;
	*eth = fresh;
	return 0;
}

SEC("xdp")
int translate_vlan(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct vlan_tag *tag = (void *)(eth + 1);
	__u32 zero = 0, id = 0, *to;
	struct counts *n;

	if ((void *)(tag + 1) > end)
		return XDP_DROP;
	n = bpf_map_lookup_elem(&counts, &zero);
	if (!n)
		return XDP_ABORTED;
	if (eth->h_proto == bpf_htons(ETH_P_8021Q))
		id = bpf_ntohs(tag->tci) & 0xfff;
	to = bpf_map_lookup_elem(&vlans, &id);
	if (!to)
		return XDP_DROP;
	if (!id) {
		if (!*to)
			return XDP_PASS;
		if (push(ctx, *to & 0xfff))
			return XDP_DROP;
		n->pushed++;
		return XDP_TX;
	}
	if (!*to) {
		if (pop(ctx))
			return XDP_DROP;
		n->popped++;
		return XDP_PASS;
	}
	tag->tci = (tag->tci & bpf_htons(0xf000)) | bpf_htons(*to & 0xfff);
	n->translated++;
	return XDP_TX;
}

LICENSE_GPL;
