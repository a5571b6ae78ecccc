package absint

import "github.com/superbpf/superbpf/optimizer/prog"

// The context layouts of include/uapi/linux/bpf.h, with the access rules of
// the *_is_valid_access functions in net/core/filter.c and kernel/bpf/cgroup.c.
var layouts = map[prog.Type][]Field{}

func read(off, size, count int) Field {
	return Field{Off: off, Size: size, Count: count, Kind: Scalar, Narrow: true}
}

func readWrite(off, size, count int) Field {
	return Field{Off: off, Size: size, Count: count, Kind: Scalar, Write: true, Narrow: true}
}

func pointer(off, size int, k Kind) Field { return Field{Off: off, Size: size, Count: 1, Kind: k} }

// skb is struct __sk_buff; not every type may use every field.
var skb = []Field{
	read(0, 4, 2), readWrite(8, 4, 2), read(16, 4, 4), readWrite(32, 4, 1), read(36, 4, 2), readWrite(44, 4, 6), read(68, 4, 1),
	readWrite(72, 4, 1), pointer(76, 4, Packet), pointer(80, 4, PacketEnd), read(84, 4, 14), pointer(140, 4, PacketMeta),
	pointer(144, 8, Unknown), readWrite(152, 8, 1), read(160, 4, 2), pointer(168, 8, Unknown), read(176, 4, 1), read(180, 1, 1),
	read(184, 8, 1),
}

func init() {
	for _, t := range []prog.Type{prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeCgroupSKB, prog.TypeLWTIn, prog.TypeLWTOut,
		prog.TypeLWTXmit, prog.TypeLWTSeg6Local, prog.TypeSKSKB, prog.TypeSocketFilter} {
		layouts[t] = skb
	}
	layouts[prog.TypeXDP] = []Field{pointer(0, 4, Packet), pointer(4, 4, PacketEnd), pointer(8, 4, PacketMeta), read(12, 4, 3)}
	layouts[prog.TypeFlowDissector] = []Field{pointer(76, 4, Packet), pointer(80, 4, PacketEnd), pointer(144, 8, Unknown)}
	layouts[prog.TypeSKMsg] = []Field{pointer(0, 8, Packet), pointer(8, 8, PacketEnd), read(16, 4, 14), pointer(72, 8, Unknown)}
	layouts[prog.TypeSKReuseport] = []Field{pointer(0, 8, Packet), pointer(8, 8, PacketEnd), read(16, 4, 5), pointer(40, 8, Unknown),
		pointer(48, 8, Unknown)}
	layouts[prog.TypeCgroupSockAddr] = []Field{read(0, 4, 1), readWrite(4, 4, 6), read(28, 4, 3), readWrite(40, 4, 5), pointer(64, 8, Unknown)}
	layouts[prog.TypeSockOps] = []Field{read(0, 4, 1), readWrite(4, 4, 4), read(20, 4, 27), readWrite(128, 4, 1), read(132, 4, 9),
		read(168, 8, 2), pointer(184, 8, Unknown), pointer(192, 8, Packet), pointer(200, 8, PacketEnd), read(208, 4, 2), read(216, 8, 1)}
	layouts[prog.TypeSKLookup] = []Field{pointer(0, 8, Unknown), read(8, 4, 15)}
	layouts[prog.TypeCgroupSock] = []Field{readWrite(0, 4, 1), read(4, 4, 3), readWrite(16, 4, 2), read(24, 4, 14)}
	layouts[prog.TypeCgroupDevice] = []Field{read(0, 4, 3)}
	layouts[prog.TypeCgroupSysctl] = []Field{read(0, 4, 1), readWrite(4, 4, 1)}
	layouts[prog.TypeCgroupSockopt] = []Field{pointer(0, 8, Unknown), pointer(8, 8, Packet), pointer(16, 8, PacketEnd), readWrite(24, 4, 4)}
}
