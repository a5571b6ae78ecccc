/* Sampler: the header bytes of one packet in RATE go to user space. The rate
 * and the snap length are constants that a loader may set. */
#include "net.h"

#define SNAP 64

const volatile __u32 rate = 16;
const volatile __u32 minimum = 60;

struct sample {
	__u64 serial;
	__u32 ifindex;
	__u32 length;
	__u8 head[SNAP];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} samples SEC(".maps");

__u64 seen, lost;

SEC("xdp")
int sample(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	__u64 serial = seen++;
	struct sample *s;

	if (!rate || serial % rate)
		return XDP_PASS;
	if (end - data < minimum || data + SNAP > end)
		return XDP_PASS;
	s = bpf_ringbuf_reserve(&samples, sizeof(*s), 0);
	if (!s) {
		lost++;
		return XDP_PASS;
	}
	s->serial = serial;
	s->ifindex = ctx->ingress_ifindex;
	s->length = end - data;
	__builtin_memcpy(s->head, data, SNAP);
	bpf_ringbuf_submit(s, BPF_RB_NO_WAKEUP);
	return XDP_PASS;
}

LICENSE_GPL;
