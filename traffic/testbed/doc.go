// Package testbed builds private networks for measurements: a network namespace
// without a name, veth pairs in it, and a pinned thread that works there.
//
// Invariant: nothing outlives the process. A namespace hangs on its thread
// alone, so Close, a signal and SIGKILL all end it, and the kernel removes its
// interfaces and attached programs. Nothing is written below /run or /var.
//
// A new kind of topology is a method on Namespace that works inside Do.
package testbed
