/* Sends every packet out of another device, with the MAC addresses swapped. */
#include "net.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, int);
} out_port SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, long);
} forwarded SEC(".maps");

SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	__u32 key = 0;
	int *port;
	long *count;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	port = bpf_map_lookup_elem(&out_port, &key);
	if (!port)
		return XDP_PASS;
	count = bpf_map_lookup_elem(&forwarded, &key);
	if (count)
		*count += 1;
	swap_macs(eth);
	return bpf_redirect(*port, 0);
}

LICENSE_GPL;
