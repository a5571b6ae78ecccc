// Several programs in a section, subprograms, global data and maps.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

const volatile __u32 limit = 5;
__u64 seen;

static __attribute__((noinline)) int length(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data;
}

__attribute__((noinline)) int classify(int n)
{
	if (n > 1000)
		return 2;
	return n > 100;
}

static __attribute__((noinline)) __u64 step(__u32 i, __u64 *sum)
{
	*sum += i;
	return 0;
}

SEC("xdp")
int first(struct xdp_md *ctx)
{
	__u32 key = 1;
	__u64 *v = bpf_map_lookup_elem(&counters, &key);

	if (v)
		(*v)++;
	seen += limit;
	return classify(length(ctx)) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int second(struct xdp_md *ctx)
{
	__u64 sum = 0;

	bpf_loop(4, step, &sum, 0);
	return sum == 6 ? XDP_TX : classify(length(ctx));
}

char LICENSE[] SEC("license") = "GPL";
