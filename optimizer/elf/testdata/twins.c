// Two static functions that static linking gives one name: the test renames the
// second one.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define NOINLINE static __attribute__((noinline))

NOINLINE long twin(long x)
{
	asm volatile("" : "+r"(x));
	return x * 3;
}

NOINLINE long same(long x)
{
	asm volatile("" : "+r"(x));
	return x * 7;
}

SEC("xdp") int first(struct xdp_md *ctx)
{
	return twin(ctx->ingress_ifindex) & 1;
}

SEC("xdp") int second(struct xdp_md *ctx)
{
	return same(ctx->ingress_ifindex) & 1;
}

char LICENSE[] SEC("license") = "GPL";
