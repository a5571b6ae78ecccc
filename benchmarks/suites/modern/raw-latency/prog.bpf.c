/* Raw tracepoint with start, end and class: keeps a histogram by powers of two
 * and the longest duration of each class. */
#include "net.h"

#define SLOTS 64
#define CLASSES 8

struct histogram {
	__u32 slots[SLOTS];
	__u64 total;
	__u64 longest;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLASSES);
	__type(key, __u32);
	__type(value, struct histogram);
} durations SEC(".maps");

static __noinline __u32 log2(__u64 v)
{
	__u32 r = 0;

	if (v >> 32) {
		r += 32;
		v >>= 32;
	}
	if (v >> 16) {
		r += 16;
		v >>= 16;
	}
	if (v >> 8) {
		r += 8;
		v >>= 8;
	}
	if (v >> 4) {
		r += 4;
		v >>= 4;
	}
	if (v >> 2) {
		r += 2;
		v >>= 2;
	}
	return r + (v >> 1);
}

SEC("raw_tracepoint/sys_exit")
int note_duration(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 start = ctx->args[0], end = ctx->args[1], took;
	__u32 class = ctx->args[2] % CLASSES, slot;
	struct histogram *h;

	if (end < start)
		return 0;
	took = end - start;
	h = bpf_map_lookup_elem(&durations, &class);
	if (!h)
		return 0;
	slot = log2(took);
	if (slot >= SLOTS)
		slot = SLOTS - 1;
	h->slots[slot]++;
	h->total += took;
	if (took > h->longest)
		h->longest = took;
	return 0;
}

LICENSE_GPL;
