// A program that calls a function of .text which has CO-RE records, names a map and
// calls a function of its own section; the program has no records itself.
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
	int tgid;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __attribute__((noinline)) __u64 *find(__u32 key)
{
	return bpf_map_lookup_elem(&counts, &key);
}

static __attribute__((noinline)) int count(void)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	__u64 *v = find(BPF_CORE_READ(t, tgid));

	if (!v)
		return 0;
	*v += 1;
	return BPF_CORE_READ(t, pid);
}

SEC("kprobe/do_nanosleep")
int prog(void *ctx)
{
	return count() + 1;
}

char _license[] SEC("license") = "GPL";
