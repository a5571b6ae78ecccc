// Package benchmarks holds the programs that superbpf is measured on: a folder
// a program, with its source and a bench.yaml that says what to put into its
// maps and what to run it on.
//
// bench.yaml:
//
//	name: xdp_pktcntr            # the folder's name
//	description: ...
//	program: count_packets       # the function to optimize and measure
//	paper: xdp_pktcntr           # row of the K2 paper's tables, if any
//	context: 24                  # bytes of random context instead of packets
//	maps:
//	  - name: control
//	    entries:
//	      - {key: "u32:0", value: "u32:1"}
//
// Keys and values are in the text form of package mapstate.
//
// A traffic.yaml beside it is the traffic that the program is measured on, a
// profile of package traffic; without one it is the default mix.
//
// To add a program, add its folder; `superbpf bench run` and the tests find it.
package benchmarks
