// What is left to the program's own loader, and what this kernel has not.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(key_size, 4); } stacks SEC(".maps"); // sizes unset

struct task_struct { int no_such_field; } __attribute__((preserve_access_index));

SEC("raw_tp/sched_switch") int traced(void *ctx)
{
	return bpf_get_stackid(ctx, &stacks, 0) < 0;
}

SEC("raw_tp/sched_switch") int lacking(unsigned long long *ctx)
{
	struct task_struct *t = (void *)ctx[1];
	return BPF_CORE_READ(t, no_such_field);
}

char LICENSE[] SEC("license") = "GPL";
