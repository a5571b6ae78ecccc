/* Sums up what the bulk transmit of a device map sent and dropped. */
#include "net.h"

struct tally {
	__u64 sent;
	__u64 dropped;
	__u64 calls;
	__u64 errors;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tally);
} transmit SEC(".maps");

SEC("raw_tracepoint/xdp_devmap_xmit")
int trace_transmit(struct bpf_raw_tracepoint_args *ctx)
{
	/* Arguments: from device, to device, sent, drops, error. */
	int sent = ctx->args[2];
	int drops = ctx->args[3];
	int err = ctx->args[4];
	__u32 key = 0;
	struct tally *t = bpf_map_lookup_elem(&transmit, &key);

	if (!t)
		return 0;
	t->sent += sent;
	t->dropped += drops;
	t->calls += 1;
	/* An error with some packets sent means the rest was dropped. */
	if (err && drops && sent)
		t->errors += 1;
	return 1;
}

LICENSE_GPL;
