// A field that the loader relocates. With OTHER its place in its type means
// another field.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct thing {
#ifdef OTHER
	int second, first;
#else
	int first, second;
#endif
} __attribute__((preserve_access_index));

SEC("raw_tracepoint/sys_enter")
int field(struct bpf_raw_tracepoint_args *ctx)
{
	struct thing *t = (void *)ctx->args[0];
	int v;

#ifdef OTHER
	bpf_probe_read_kernel(&v, sizeof(v), &t->second);
#else
	bpf_probe_read_kernel(&v, sizeof(v), &t->first);
#endif
	return v;
}

char LICENSE[] SEC("license") = "GPL";
