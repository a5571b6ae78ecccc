/* Sums up what was put on the queue to each CPU. */
#include "net.h"

#define CPUS 64

struct tally {
	__u64 processed;
	__u64 dropped;
	__u64 bulks;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CPUS);
	__type(key, __u32);
	__type(value, struct tally);
} queued SEC(".maps");

SEC("raw_tracepoint/xdp_cpumap_enqueue")
int trace_enqueue(struct bpf_raw_tracepoint_args *ctx)
{
	/* Arguments: map, processed, drops, target CPU. */
	unsigned int processed = ctx->args[1];
	unsigned int drops = ctx->args[2];
	__u32 cpu = ctx->args[3];
	struct tally *t;

	if (cpu >= CPUS)
		return 1;
	t = bpf_map_lookup_elem(&queued, &cpu);
	if (!t)
		return 0;
	t->processed += processed;
	t->dropped += drops;
	/* Counts bulks, for the average size. */
	if (processed > 0)
		t->bulks += 1;
	return 0;
}

LICENSE_GPL;
