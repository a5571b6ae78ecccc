// Package traffic makes packets: from profiles (package profile), from capture
// files, and at random for differential tests. It is the only importer of
// gopacket.
//
// Packets are byte slices that start with the Ethernet header. Invariant: the
// same profile, file and seed give the same packets, in the same order.
//
// A new protocol is one case in generate.go and, if fuzzing should know it, one in
// fuzz.go.
package traffic
