// Programs that may not share maps which run programs: the first that loads with
// one makes it its own.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __uint(key_size, 4); __uint(value_size, 4); } jumps SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4); __uint(key_size, 4); __uint(value_size, 4); } ports SEC(".maps");

SEC("xdp") int packet(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 1);
	return bpf_redirect_map(&ports, 0, 0);
}

SEC("xdp.frags") int fragments(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 1);
	return bpf_redirect_map(&ports, 0, 0);
}

SEC("tc") int buffer(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &jumps, 2);
	return 0;
}

SEC("cgroup/connect4") int connecting(struct bpf_sock_addr *ctx)
{
	bpf_tail_call(ctx, &jumps, 3);
	return 1;
}

SEC("cgroup/sendmsg4") int sending(struct bpf_sock_addr *ctx)
{
	bpf_tail_call(ctx, &jumps, 3);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
