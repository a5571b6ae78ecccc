package isa

// The helpers of include/uapi/linux/bpf.h that have a model. A flag that is
// missing here only costs optimizations; a wrong one costs correctness, so an
// argument or effect in doubt is given its widest meaning.
func init() {
	for _, h := range []Helper{
		// Maps.
		{ID: 1, Name: "map_lookup_elem", Args: args(ArgMap, ArgMapKey), Purity: PureState, RetPtr: true, MapValue: true},
		{ID: 2, Name: "map_update_elem", Args: args(ArgMap, ArgMapKey, ArgMapValue, ArgScalar), WritesMaps: true},
		{ID: 3, Name: "map_delete_elem", Args: args(ArgMap, ArgMapKey), WritesMaps: true},
		{ID: 87, Name: "map_push_elem", Args: args(ArgMap, ArgMapValue, ArgScalar), WritesMaps: true},
		{ID: 195, Name: "map_lookup_percpu_elem", Args: args(ArgMap, ArgMapKey, ArgScalar), Purity: PureState, RetPtr: true, MapValue: true},
		// Values that are new at each call.
		{ID: 5, Name: "ktime_get_ns", Purity: PureFresh},
		{ID: 7, Name: "get_prandom_u32", Purity: PureFresh, Bits: 32},
		{ID: 118, Name: "jiffies64", Purity: PureFresh},
		{ID: 125, Name: "ktime_get_boot_ns", Purity: PureFresh},
		{ID: 160, Name: "ktime_get_coarse_ns", Purity: PureFresh},
		{ID: 208, Name: "ktime_get_tai_ns", Purity: PureFresh},
		// Values that stay the same during an invocation.
		{ID: 8, Name: "get_smp_processor_id", Purity: PureConst, Bits: 32},
		{ID: 14, Name: "get_current_pid_tgid", Purity: PureConst},
		{ID: 15, Name: "get_current_uid_gid", Purity: PureConst},
		{ID: 35, Name: "get_current_task", Purity: PureConst},
		{ID: 42, Name: "get_numa_node_id", Purity: PureConst, Bits: 32},
		{ID: 80, Name: "get_current_cgroup_id", Purity: PureConst},
		// Tracing. A string shorter than its buffer leaves the rest as it was, and
		// so does xdp_load_bytes when it fails: what was there before is read.
		{ID: 4, Name: "probe_read", Args: args(ArgMemWrite, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 45, Name: "probe_read_str", Args: args(ArgMemRW, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 112, Name: "probe_read_user", Args: args(ArgMemWrite, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 113, Name: "probe_read_kernel", Args: args(ArgMemWrite, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 114, Name: "probe_read_user_str", Args: args(ArgMemRW, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 115, Name: "probe_read_kernel_str", Args: args(ArgMemRW, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 16, Name: "get_current_comm", Args: args(ArgMemWrite, ArgSize), Purity: PureFresh},
		{ID: 6, Name: "trace_printk", Args: args(ArgMemRead, ArgSize, ArgScalar, ArgScalar, ArgScalar)},
		{ID: 131, Name: "ringbuf_reserve", Args: args(ArgMap, ArgScalar, ArgScalar), RetPtr: true, Record: true},
		// Who is told by these may take a map's values for his own from then on, or has
		// given some back: loads stay on their side.
		{ID: 25, Name: "perf_event_output", Args: args(ArgCtx, ArgMap, ArgScalar, ArgMemRead, ArgSize), WritesMaps: true},
		{ID: 111, Name: "skb_output", Args: args(ArgCtx, ArgMap, ArgScalar, ArgMemRead, ArgSize), WritesMaps: true},
		{ID: 121, Name: "xdp_output", Args: args(ArgCtx, ArgMap, ArgScalar, ArgMemRead, ArgSize), WritesMaps: true},
		{ID: 130, Name: "ringbuf_output", Args: args(ArgMap, ArgMemRead, ArgSize, ArgScalar), WritesMaps: true},
		{ID: 134, Name: "ringbuf_query", Args: args(ArgMap, ArgScalar), WritesMaps: true},
		// Packets.
		{ID: 23, Name: "redirect", Args: args(ArgScalar, ArgScalar)},
		{ID: 51, Name: "redirect_map", Args: args(ArgMap, ArgScalar, ArgScalar)},
		// Programs of the other device run meanwhile, and may share maps.
		{ID: 13, Name: "clone_redirect", Args: args(ArgCtx, ArgScalar, ArgScalar), WritesMaps: true, ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 155, Name: "redirect_peer", Args: args(ArgScalar, ArgScalar)},
		{ID: 44, Name: "xdp_adjust_head", Args: args(ArgCtx, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 54, Name: "xdp_adjust_meta", Args: args(ArgCtx, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 65, Name: "xdp_adjust_tail", Args: args(ArgCtx, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 188, Name: "xdp_get_buff_len", Args: args(ArgCtx), Purity: PureState, Bits: 32},
		{ID: 189, Name: "xdp_load_bytes", Args: args(ArgCtx, ArgScalar, ArgMemRW, ArgSize), Purity: PureFresh},
		{ID: 190, Name: "xdp_store_bytes", Args: args(ArgCtx, ArgScalar, ArgMemRead, ArgSize), WritesPacket: true},
		{ID: 26, Name: "skb_load_bytes", Args: args(ArgCtx, ArgScalar, ArgMemWrite, ArgSize), Purity: PureFresh},
		{ID: 68, Name: "skb_load_bytes_relative", Args: args(ArgCtx, ArgScalar, ArgMemWrite, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 9, Name: "skb_store_bytes", Args: args(ArgCtx, ArgScalar, ArgMemRead, ArgSize, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 10, Name: "l3_csum_replace", Args: args(ArgCtx, ArgScalar, ArgScalar, ArgScalar, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 11, Name: "l4_csum_replace", Args: args(ArgCtx, ArgScalar, ArgScalar, ArgScalar, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 39, Name: "skb_pull_data", Args: args(ArgCtx, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 18, Name: "skb_vlan_push", Args: args(ArgCtx, ArgScalar, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 19, Name: "skb_vlan_pop", Args: args(ArgCtx), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 31, Name: "skb_change_proto", Args: args(ArgCtx, ArgScalar, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 38, Name: "skb_change_tail", Args: args(ArgCtx, ArgScalar, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 43, Name: "skb_change_head", Args: args(ArgCtx, ArgScalar, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 50, Name: "skb_adjust_room", Args: args(ArgCtx, ArgScalar, ArgScalar, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 32, Name: "skb_change_type", Args: args(ArgCtx, ArgScalar), WritesCtx: true},
		{ID: 20, Name: "skb_get_tunnel_key", Args: args(ArgCtx, ArgMemWrite, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 21, Name: "skb_set_tunnel_key", Args: args(ArgCtx, ArgMemRead, ArgSize, ArgScalar), WritesCtx: true},
		{ID: 17, Name: "get_cgroup_classid", Args: args(ArgCtx), Purity: PureConst, Bits: 32},
		// So may a flow dissector, which is run for the hash.
		{ID: 34, Name: "get_hash_recalc", Args: args(ArgCtx), WritesMaps: true, WritesCtx: true, OnlyHash: true, Bits: 32},
		{ID: 46, Name: "get_socket_cookie", Args: args(ArgCtx), WritesCtx: true},
		{ID: 122, Name: "get_netns_cookie", Args: args(ArgCtx), Purity: PureConst},
		{ID: 28, Name: "csum_diff", Args: args(ArgMemRead, ArgSize, ArgMemRead, ArgSize, ArgScalar), Purity: PureConst},
		{ID: 40, Name: "csum_update", Args: args(ArgCtx, ArgScalar), WritesCtx: true},
		{ID: 69, Name: "fib_lookup", Args: args(ArgCtx, ArgMemRW, ArgSize, ArgScalar), Purity: PureFresh},
		// Control.
		{ID: 12, Name: "tail_call", Args: args(ArgCtx, ArgMap, ArgScalar), WritesMaps: true, WritesPacket: true, WritesCtx: true},
		{ID: 93, Name: "spin_lock", Args: args(ArgPtr), WritesMaps: true, WritesPacket: true},
		{ID: 94, Name: "spin_unlock", Args: args(ArgPtr), WritesMaps: true, WritesPacket: true},
	} {
		h.Known = true
		if _, dup := helpers[h.ID]; dup {
			panic("isa: two rows for helper " + h.Name)
		}
		helpers[h.ID] = &h
	}
}

func args(a ...ArgKind) (out [5]ArgKind) {
	copy(out[:], a)
	return out
}
