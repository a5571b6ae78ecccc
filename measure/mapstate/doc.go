// Package mapstate reads what to put into a program's maps before it runs: from
// YAML, or from a dump of a live system's maps.
//
//	maps:
//	  - name: services                # the map's name in the object
//	    entries:
//	      - {key: "ip:10.0.0.1 be16:80 pad:2", value: "u32:7"}
//	  - name: backends
//	    dump: backends.json           # what `bpftool map dump -j name backends` prints
//
// Keys and values are fields in memory order, separated by blanks: u8 u16 u32
// u64 (little-endian numbers), be16 be32 be64 (network order), ip (an IPv4 or
// IPv6 address), mac, pad (a number of zero bytes), hex, and cookie:N (the cookie
// of the N-th socket that a measurement of a socket hook makes, from 0). A per-CPU
// map gets a value of one CPU on all, and a dump's values each on its own.
//
// The package knows bytes alone; package measure writes them into maps.
package mapstate
