// Old-style map definitions: five words, and iproute2's nine.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_elf_map {
	__u32 type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx;
};

struct bpf_elf_map SEC("maps") counters = {
	.type = BPF_MAP_TYPE_ARRAY, .size_key = 4, .size_value = 8, .max_elem = 2, .pinning = 2,
};
struct bpf_elf_map SEC("maps") inner = {
	.type = BPF_MAP_TYPE_ARRAY, .size_key = 4, .size_value = 4, .max_elem = 1, .id = 7,
};
struct bpf_elf_map SEC("maps") outer = {
	.type = BPF_MAP_TYPE_ARRAY_OF_MAPS, .size_key = 4, .size_value = 4, .max_elem = 1, .inner_id = 7,
};

SEC("classifier")
int count(struct __sk_buff *skb)
{
	__u32 key = 1, zero = 0;
	__u64 *v = bpf_map_lookup_elem(&counters, &key);
	void *in = bpf_map_lookup_elem(&outer, &zero);

	if (v)
		*v += skb->len;
	return in && bpf_map_lookup_elem(in, &zero) ? 1 : 0;
}

char LICENSE[] SEC("license") = "GPL";
