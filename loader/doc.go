// Package loader is the kernel's side: it loads objects to hear the
// verifier's verdict, runs programs with BPF_PROG_TEST_RUN, attaches XDP
// programs through netlink, and says what the running kernel can do.
//
// It is one of the two importers of cilium/ebpf.
package loader
