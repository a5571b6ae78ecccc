package isa

// More helpers with a model: of sockets, messages, tunnels, control groups and
// tracing. Argument kinds are those of their bpf_func_proto in net/core/filter.c,
// kernel/trace/bpf_trace.c and kernel/bpf/ of Linux.
func init() {
	for _, h := range []Helper{
		// What the packet, its socket and its group are asked.
		{ID: 24, Name: "get_route_realm", Args: args(ArgCtx), Purity: PureFresh},
		{ID: 29, Name: "skb_get_tunnel_opt", Args: args(ArgCtx, ArgMemWrite, ArgSize), Purity: PureFresh},
		{ID: 33, Name: "skb_under_cgroup", Args: args(ArgCtx, ArgMap, ArgScalar), Purity: PureFresh},
		{ID: 47, Name: "get_socket_uid", Args: args(ArgCtx), Purity: PureFresh},
		{ID: 66, Name: "skb_get_xfrm_state", Args: args(ArgCtx, ArgScalar, ArgMemWrite, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 79, Name: "skb_cgroup_id", Args: args(ArgCtx), Purity: PureFresh},
		{ID: 83, Name: "skb_ancestor_cgroup_id", Args: args(ArgCtx, ArgScalar), Purity: PureFresh},
		{ID: 151, Name: "skb_cgroup_classid", Args: args(ArgCtx), Purity: PureFresh},
		// The buffer says which option is sought; what is found may be shorter.
		{ID: 142, Name: "load_hdr_opt", Args: args(ArgCtx, ArgMemRW, ArgSize, ArgScalar), Purity: PureFresh},
		// A socket that is found is held until it is released. Programs that choose it
		// (sk_lookup, sk_reuseport) run meanwhile, and may share maps.
		{ID: 84, Name: "sk_lookup_tcp", Args: args(ArgCtx, ArgMemRead, ArgSize, ArgScalar, ArgScalar), RetPtr: true, WritesMaps: true},
		{ID: 85, Name: "sk_lookup_udp", Args: args(ArgCtx, ArgMemRead, ArgSize, ArgScalar, ArgScalar), RetPtr: true, WritesMaps: true},
		{ID: 99, Name: "skc_lookup_tcp", Args: args(ArgCtx, ArgMemRead, ArgSize, ArgScalar, ArgScalar), RetPtr: true, WritesMaps: true},
		// Fields of the packet or the connection.
		{ID: 30, Name: "skb_set_tunnel_opt", Args: args(ArgCtx, ArgMemRead, ArgSize), WritesCtx: true},
		{ID: 41, Name: "set_hash_invalid", Args: args(ArgCtx), WritesCtx: true, OnlyHash: true},
		{ID: 48, Name: "set_hash", Args: args(ArgCtx, ArgScalar), WritesCtx: true, OnlyHash: true},
		{ID: 59, Name: "sock_ops_cb_flags_set", Args: args(ArgCtx, ArgScalar), WritesCtx: true},
		{ID: 61, Name: "msg_apply_bytes", Args: args(ArgCtx, ArgScalar), WritesCtx: true},
		{ID: 62, Name: "msg_cork_bytes", Args: args(ArgCtx, ArgScalar), WritesCtx: true},
		{ID: 64, Name: "bind", Args: args(ArgCtx, ArgMemRead, ArgSize), WritesCtx: true},
		{ID: 135, Name: "csum_level", Args: args(ArgCtx, ArgScalar), WritesCtx: true},
		{ID: 144, Name: "reserve_hdr_opt", Args: args(ArgCtx, ArgScalar, ArgScalar), WritesCtx: true},
		{ID: 192, Name: "skb_set_tstamp", Args: args(ArgCtx, ArgScalar, ArgScalar), WritesCtx: true},
		// Where it goes.
		{ID: 52, Name: "sk_redirect_map", Args: args(ArgCtx, ArgMap, ArgScalar, ArgScalar), WritesCtx: true},
		{ID: 60, Name: "msg_redirect_map", Args: args(ArgCtx, ArgMap, ArgScalar, ArgScalar), WritesCtx: true},
		{ID: 71, Name: "msg_redirect_hash", Args: args(ArgCtx, ArgMap, ArgMapKey, ArgScalar), WritesCtx: true},
		{ID: 72, Name: "sk_redirect_hash", Args: args(ArgCtx, ArgMap, ArgMapKey, ArgScalar), WritesCtx: true},
		{ID: 82, Name: "sk_select_reuseport", Args: args(ArgCtx, ArgMap, ArgMapKey, ArgScalar), WritesCtx: true},
		{ID: 152, Name: "redirect_neigh", Args: args(ArgScalar, ArgMemRead, ArgSize, ArgScalar)},
		// Maps of sockets.
		{ID: 53, Name: "sock_map_update", Args: args(ArgCtx, ArgMap, ArgMapKey, ArgScalar), WritesMaps: true, WritesCtx: true},
		{ID: 70, Name: "sock_hash_update", Args: args(ArgCtx, ArgMap, ArgMapKey, ArgScalar), WritesMaps: true, WritesCtx: true},
		// Bytes of the packet.
		{ID: 63, Name: "msg_pull_data", Args: args(ArgCtx, ArgScalar, ArgScalar, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 90, Name: "msg_push_data", Args: args(ArgCtx, ArgScalar, ArgScalar, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 91, Name: "msg_pop_data", Args: args(ArgCtx, ArgScalar, ArgScalar, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 73, Name: "lwt_push_encap", Args: args(ArgCtx, ArgScalar, ArgMemRead, ArgSize), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 74, Name: "lwt_seg6_store_bytes", Args: args(ArgCtx, ArgScalar, ArgMemRead, ArgSize), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 75, Name: "lwt_seg6_adjust_srh", Args: args(ArgCtx, ArgScalar, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 76, Name: "lwt_seg6_action", Args: args(ArgCtx, ArgScalar, ArgMemRead, ArgSize), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		{ID: 97, Name: "skb_ecn_set_ce", Args: args(ArgCtx), WritesPacket: true, WritesCtx: true},
		{ID: 143, Name: "store_hdr_opt", Args: args(ArgCtx, ArgMemRead, ArgSize, ArgScalar), ChangesPacket: true, WritesPacket: true, WritesCtx: true},
		// Tracing and control groups. Where an error leaves the buffer as it was, or
		// a string is shorter, what was there before is read.
		{ID: 22, Name: "perf_event_read", Args: args(ArgMap, ArgScalar), Purity: PureFresh},
		{ID: 37, Name: "current_task_under_cgroup", Args: args(ArgMap, ArgScalar), Purity: PureFresh},
		{ID: 55, Name: "perf_event_read_value", Args: args(ArgMap, ArgScalar, ArgMemWrite, ArgSize), Purity: PureFresh},
		{ID: 56, Name: "perf_prog_read_value", Args: args(ArgCtx, ArgMemWrite, ArgSize), Purity: PureFresh},
		{ID: 67, Name: "get_stack", Args: args(ArgCtx, ArgMemRW, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 101, Name: "sysctl_get_name", Args: args(ArgCtx, ArgMemRW, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 102, Name: "sysctl_get_current_value", Args: args(ArgCtx, ArgMemRW, ArgSize), Purity: PureFresh},
		{ID: 103, Name: "sysctl_get_new_value", Args: args(ArgCtx, ArgMemRW, ArgSize), Purity: PureFresh},
		{ID: 119, Name: "read_branch_records", Args: args(ArgCtx, ArgMemRW, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 120, Name: "get_ns_current_pid_tgid", Args: args(ArgScalar, ArgScalar, ArgMemWrite, ArgSize), Purity: PureFresh},
		{ID: 123, Name: "get_current_ancestor_cgroup_id", Args: args(ArgScalar), Purity: PureConst},
		{ID: 148, Name: "copy_from_user", Args: args(ArgMemWrite, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 173, Name: "get_func_ip", Args: args(ArgCtx), Purity: PureConst},
		{ID: 174, Name: "get_attach_cookie", Args: args(ArgCtx), Purity: PureConst},
		{ID: 176, Name: "get_branch_snapshot", Args: args(ArgMemRW, ArgSize, ArgScalar), Purity: PureFresh},
		{ID: 185, Name: "get_func_arg_cnt", Args: args(ArgCtx), Purity: PureConst},
		{ID: 186, Name: "get_retval", Purity: PureFresh},
		{ID: 27, Name: "get_stackid", Args: args(ArgCtx, ArgMap, ArgScalar), WritesMaps: true},
		{ID: 58, Name: "override_return", Args: args(ArgCtx, ArgScalar), WritesCtx: true},
		{ID: 104, Name: "sysctl_set_new_value", Args: args(ArgCtx, ArgMemRead, ArgSize), WritesCtx: true},
		{ID: 109, Name: "send_signal", Args: args(ArgScalar), WritesMaps: true},
		{ID: 117, Name: "send_signal_thread", Args: args(ArgScalar), WritesMaps: true},
		{ID: 187, Name: "set_retval", Args: args(ArgScalar), WritesCtx: true},
	} {
		h.Known = true
		if _, dup := helpers[h.ID]; dup {
			panic("isa: two rows for helper " + h.Name)
		}
		helpers[h.ID] = &h
	}
}
