// A field that the loader relocates. With OTHER its place in its type means
// another field.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef TYPE
#define TYPE int
#endif
enum color { RED = -1 };

struct part {
	char pad[3];
	TYPE value[4];
} __attribute__((preserve_access_index));

struct thing {
#ifdef OTHER
	int second, first;
#else
	int first, second;
#endif
	union {
		struct part part;
		long all;
	};
} __attribute__((preserve_access_index));

SEC("raw_tracepoint/sys_enter")
int field(struct bpf_raw_tracepoint_args *ctx)
{
	struct thing *t = (void *)ctx->args[0];
	int v;

#ifdef READ
	return t->part.value[2] + 1;
#endif
#ifdef OTHER
	bpf_probe_read_kernel(&v, sizeof(v), &t->second);
#else
	bpf_probe_read_kernel(&v, sizeof(v), &t->first);
#endif
	return v;
}

char LICENSE[] SEC("license") = "GPL";
