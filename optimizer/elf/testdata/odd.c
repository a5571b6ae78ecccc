// What cilium/ebpf's reader does not take as it is, though libbpf loads it.
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

// A private data section, hidden.
__u64 count SEC(".bss.private") __hidden;

// A weak map.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} weak_map __weak SEC(".maps");

// Kernel configuration: present, absent but weak, a string, the version.
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_BPF_JIT __kconfig __weak;
extern int CONFIG_OF_NO_KERNEL_AT_ALL __kconfig __weak;
extern int LINUX_KERNEL_VERSION __kconfig;

// Kernel symbols: without a type, and with one that is nowhere.
extern const void schedule __ksym;
extern const int no_such_variable __ksym __weak;

// A hidden global function is checked with its callers: n is no scalar of
// unknown value and p no pointer that may be NULL.
__hidden __attribute__((noinline)) int load(int *p)
{
	return *p;
}

SEC("xdp")
int odd_data(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *v = bpf_map_lookup_elem(&weak_map, &key);

	count++;
	return v ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int odd_config(struct xdp_md *ctx)
{
	if (!CONFIG_BPF_SYSCALL || CONFIG_OF_NO_KERNEL_AT_ALL)
		return 0;
	return LINUX_KERNEL_VERSION > 0 && CONFIG_BPF_JIT == TRI_YES ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int odd_hidden(struct xdp_md *ctx)
{
	int n = ctx->rx_queue_index;

	return load(&n) > 4;
}

SEC("raw_tp/sys_enter")
int odd_ksym(void *ctx)
{
	return bpf_get_smp_processor_id() == (__u32)(long)&schedule && &no_such_variable == 0;
}

// The operations of a TCP congestion control, by the names they have there.
struct sock;
struct ack_sample;
struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	__u32 (*undo_cwnd)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	char name[16];
};

SEC("struct_ops/ssthresh")
__u32 BPF_PROG(odd_ssthresh, struct sock *sk)
{
	return 2;
}

SEC("struct_ops/undo")
__u32 BPF_PROG(odd_undo, struct sock *sk)
{
	return 3;
}

SEC("struct_ops/avoid")
void BPF_PROG(odd_avoid, struct sock *sk, __u32 ack, __u32 acked)
{
}

SEC(".struct_ops")
struct tcp_congestion_ops odd_cc = {
	.ssthresh = (void *)odd_ssthresh,
	.undo_cwnd = (void *)odd_undo,
	.cong_avoid = (void *)odd_avoid,
	.name = "odd",
};

SEC("my_own_section")
int odd_section(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
