/* Sums up what the worker thread of a CPU map processed. */
#include "net.h"

struct tally {
	__u64 processed;
	__u64 dropped;
	__u64 slept;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tally);
} worker SEC(".maps");

SEC("raw_tracepoint/xdp_cpumap_kthread")
int trace_worker(struct bpf_raw_tracepoint_args *ctx)
{
	/* Arguments: map, processed, drops, schedule. */
	unsigned int processed = ctx->args[1];
	unsigned int drops = ctx->args[2];
	int sched = ctx->args[3];
	__u32 key = 0;
	struct tally *t = bpf_map_lookup_elem(&worker, &key);

	if (!t)
		return 0;
	t->processed += processed;
	t->dropped += drops;
	if (sched)
		t->slept++;
	return 0;
}

LICENSE_GPL;
