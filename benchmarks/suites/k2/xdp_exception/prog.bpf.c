/* Counts the packets that ended in an XDP exception, by action. */
#include "net.h"

#define ACTIONS 6

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ACTIONS + 1);
	__type(key, __u32);
	__type(value, __u64);
} exception_count SEC(".maps");

SEC("raw_tracepoint/xdp_exception")
int trace_exception(struct bpf_raw_tracepoint_args *ctx)
{
	/* Arguments: device, program, action. */
	__u32 key = ctx->args[2];
	__u64 *count;

	if (key > ACTIONS)
		key = ACTIONS;
	count = bpf_map_lookup_elem(&exception_count, &key);
	if (!count)
		return 1;
	*count += 1;
	return 0;
}

LICENSE_GPL;
