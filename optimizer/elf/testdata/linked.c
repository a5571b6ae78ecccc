// The functions named lost stand for weak ones that another object's replaced:
// the test takes their symbols away, as static linking does.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define NOINLINE __attribute__((noinline))

int total;

NOINLINE int lost_first(int x)
{
	total += x;
	return x * 7;
}

NOINLINE int twice(int x)
{
	total++;
	return x * 2 + total;
}

SEC("xdp") int counts(struct xdp_md *ctx)
{
	return twice(ctx->ingress_ifindex) & 1;
}

SEC("xdp") int lost_program(struct xdp_md *ctx)
{
	total += twice(3);
	return XDP_DROP;
}

SEC("xdp") int passes(struct xdp_md *ctx)
{
	return twice(ctx->rx_queue_index) > 5 ? XDP_PASS : XDP_DROP;
}

NOINLINE int lost_last(int x)
{
	return x ^ total;
}

char LICENSE[] SEC("license") = "GPL";
