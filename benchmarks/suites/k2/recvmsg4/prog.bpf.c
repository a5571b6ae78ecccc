/* Socket hook: gives a datagram from a backend the address of its service. */
#include "net.h"

struct service_key {
	__be32 addr;
	__be16 port;
	__u16 slot;
	__u8 proto;
	__u8 scope;
	__u16 pad;
};

struct service {
	__u32 backend;
	__u16 count;
	__u16 index;
	__u16 flags;
	__u16 pad;
};

struct reverse_key {
	__u64 cookie;
	__be32 addr;
	__be16 port;
	__u16 pad;
};

struct reverse {
	__be32 addr;
	__be16 port;
	__u16 index;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct reverse_key);
	__type(value, struct reverse);
} reverse_nat SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

static __always_inline struct service *find(struct service_key *key)
{
	struct service *s = bpf_map_lookup_elem(&services, key);

	if (s)
		return s;
	/* A service for every port of the address. */
	key->port = 0;
	return bpf_map_lookup_elem(&services, key);
}

SEC("cgroup/recvmsg4")
int translate(struct bpf_sock_addr *ctx)
{
	struct reverse_key rkey = {};
	struct service_key skey = {};
	struct reverse *r;
	struct service *s;

	rkey.cookie = bpf_get_socket_cookie(ctx);
	rkey.addr = ctx->user_ip4;
	rkey.port = ctx->user_port;
	r = bpf_map_lookup_elem(&reverse_nat, &rkey);
	if (!r)
		return 1;
	skey.addr = r->addr;
	skey.port = r->port;
	skey.proto = ctx->protocol;
	s = find(&skey);
	if (!s || s->index != r->index) {
		/* The service went away: so does the memory of it. */
		bpf_map_delete_elem(&reverse_nat, &rkey);
		return 1;
	}
	ctx->user_ip4 = r->addr;
	ctx->user_port = r->port;
	return 1;
}

LICENSE_GPL;
