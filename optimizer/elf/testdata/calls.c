#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* HOSTILE: someone calls it with something else. */
static __noinline int length(struct xdp_md *ctx, int least)
{
	long n = (long)ctx->data_end - (long)ctx->data;
	return n < least ? -1 : n;
}

/* Handed to bpf_loop: the kernel calls it. */
static long count(__u32 i, void *sum)
{
	*(long *)sum += i;
	return 0;
}

#ifdef TABLE
int (*table[])(struct xdp_md *, int) = { length };
#endif

/* Global functions are checked for what their type says. */
__noinline int global(struct xdp_md *ctx, int n, struct bpf_fib_lookup *p)
{
	return p ? ctx->ingress_ifindex + n + p->ifindex : 0;
}

__attribute__((visibility("hidden"))) __noinline int hidden(struct xdp_md *ctx)
{
	return ctx->rx_queue_index;
}

SEC("xdp") __noinline int first(struct xdp_md *ctx)
{
	struct bpf_fib_lookup p = {};
	long sum = 0;

	bpf_loop(10, count, &sum, 0);
	return length(ctx, 14) + global(ctx, 1, &p) + hidden(ctx) + sum;
}

SEC("xdp") int second(struct xdp_md *ctx)
{
#if defined(CALLED)
	return first(ctx);
#elif defined(HOSTILE)
	struct xdp_md own = {};
	return length(&own, 20);
#else
	return length(ctx, 20);
#endif
}

char _license[] SEC("license") = "GPL";
