/* TC ingress: notes where a packet from the network came in, tells a monitor. */
#include <linux/pkt_cls.h>

#include "net.h"

#define TRACE_FROM_NETWORK 4
#define CLASS_PROXY 0x200
#define CLASS_ENCRYPT 0x0d00
#define CB_MARK 0
#define CB_IDENTITY 1
#define CB_FLAGS 2

struct notice {
	__u8 type;
	__u8 point;
	__u16 cpu;
	__u32 hash;
	__u32 length;
	__u16 captured;
	__u16 version;
	__u32 source;
	__u32 ifindex;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} monitor SEC(".maps");

SEC("tc")
int from_network(struct __sk_buff *skb)
{
	struct notice n = {};
	__u32 mark = skb->mark;
	__u64 captured;

	skb->cb[CB_MARK] = 0;
	skb->cb[CB_IDENTITY] = 0;
	skb->cb[CB_FLAGS] = 0;
	if ((mark & 0xf00) == CLASS_PROXY) {
		skb->cb[CB_MARK] = mark;
		skb->mark = 0;
		return TC_ACT_OK;
	}
	if ((mark & 0xff00) == CLASS_ENCRYPT)
		skb->cb[CB_FLAGS] = 1;
	captured = skb->len < 128 ? skb->len : 128;
	n.type = TRACE_FROM_NETWORK;
	n.point = 1;
	n.cpu = bpf_get_smp_processor_id();
	n.hash = bpf_get_hash_recalc(skb);
	n.length = skb->len;
	n.captured = captured;
	n.version = 1;
	n.ifindex = skb->ingress_ifindex;
	bpf_perf_event_output(skb, &monitor, captured << 32 | BPF_F_CURRENT_CPU, &n, sizeof(n));
	return TC_ACT_OK;
}

LICENSE_GPL;
