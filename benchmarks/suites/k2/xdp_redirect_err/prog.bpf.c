/* Counts redirects, apart for those that failed. */
#include "net.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} redirect_count SEC(".maps");

SEC("raw_tracepoint/xdp_redirect_err")
int trace_redirect(struct bpf_raw_tracepoint_args *ctx)
{
	/* Arguments: device, program, target, error, map. */
	int err = ctx->args[3];
	__u32 key = err != 0;
	__u64 *count = bpf_map_lookup_elem(&redirect_count, &key);

	if (!count)
		return 1;
	*count += 1;
	return 0;
}

LICENSE_GPL;
