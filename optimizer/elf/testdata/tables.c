// Tail call tables filled from the start, maps in maps, read-only data, and
// kernel configuration.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int leaf(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(void *));
} table SEC(".maps") = {
	.values = { [1] = (void *)&leaf },
};

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} one SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [0] = &one },
};

extern __u32 LINUX_KERNEL_VERSION __kconfig;
extern _Bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;
const volatile __u32 ports[4] = { 80, 443, 22, 53 };
__u32 hits = 7;

static __attribute__((noinline)) int find(__u32 port)
{
	for (int i = 0; i < 4; i++)
		if (ports[i] == port)
			return i;
	return -1;
}

SEC("xdp")
int leaf(struct xdp_md *ctx)
{
	return find(ctx->rx_queue_index) >= 0 ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int root(struct xdp_md *ctx)
{
	__u32 zero = 0;
	void *in = bpf_map_lookup_elem(&outer, &zero);
	__u64 *v = in ? bpf_map_lookup_elem(in, &zero) : 0;

	if (v)
		*v += LINUX_HAS_SYSCALL_WRAPPER ? LINUX_KERNEL_VERSION : 1;
	hits++;
	if (find(hits) == 2)
		bpf_tail_call(ctx, &table, 1);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
