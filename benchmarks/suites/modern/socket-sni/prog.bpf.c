/* Socket filter: walks the extensions of a TLS ClientHello to the server name
 * and lets only hellos with a name of sane length through. */
#include "net.h"

#define HANDSHAKE 22
#define CLIENT_HELLO 1
#define SERVER_NAME 0
#define MAX_EXTENSIONS 16

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} lengths SEC(".maps");

static __always_inline int load8(struct __sk_buff *skb, __u32 off)
{
	__u8 v;

	return bpf_skb_load_bytes_relative(skb, off, &v, sizeof(v), BPF_HDR_START_NET) ? -1 : v;
}

static __always_inline int load16(struct __sk_buff *skb, __u32 off)
{
	__be16 v;

	return bpf_skb_load_bytes_relative(skb, off, &v, sizeof(v), BPF_HDR_START_NET) ? -1 : bpf_ntohs(v);
}

SEC("socket")
int find_name(struct __sk_buff *skb)
{
	struct iphdr ip;
	__u32 off, tcp, length;
	int v, i;
	__u64 *n;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	if (bpf_skb_load_bytes_relative(skb, 0, &ip, sizeof(ip), BPF_HDR_START_NET) || ip.protocol != IPPROTO_TCP)
		return 0;
	tcp = ip.ihl * 4;
	v = load8(skb, tcp + 12);
	if (v < 0)
		return 0;
	off = tcp + (v >> 4) * 4;
	if (load8(skb, off) != HANDSHAKE || load8(skb, off + 5) != CLIENT_HELLO)
		return 0;
	off += 5 + 4 + 2 + 32; /* record, handshake, version, random */
	v = load8(skb, off);   /* session */
	if (v < 0)
		return 0;
	off += 1 + v;
	v = load16(skb, off); /* cipher suites */
	if (v < 0)
		return 0;
	off += 2 + v;
	v = load8(skb, off); /* compression */
	if (v < 0)
		return 0;
	off += 1 + v + 2;
	for (i = 0; i < MAX_EXTENSIONS; i++) {
		int type = load16(skb, off), size = load16(skb, off + 2);

		if (type < 0 || size < 0)
			return 0;
		if (type == SERVER_NAME) {
			v = load16(skb, off + 7);
			if (v <= 0 || v > 255)
				return 0;
			length = v;
			n = bpf_map_lookup_elem(&lengths, &length);
			if (n)
				__sync_fetch_and_add(n, 1);
			return skb->len;
		}
		off += 4 + size;
	}
	return 0;
}

LICENSE_GPL;
