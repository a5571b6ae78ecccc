// Package measure decides by experiment: how long a BPF program takes, whether
// one is faster than another, and whether two behave alike.
//
// Latency times BPF_PROG_TEST_RUN by paired sampling; Differ runs two programs
// on the same packets and compares all that they do; Compare does both, and Race
// chooses among candidates. What the kernel does not test-run is run by raising
// the events that it is attached to (events.go), and timed by the kernel's run
// statistics. Throughput, LossFreeRate and OnInterface work with
// real frames on a testbed or a network card. Results are Records: immutable
// JSON lines with every raw sample, from which all tables are generated.
//
// One session at a time runs on a host (lockHost): two would overflow the XDP
// dispatcher, and programs that miss a place there measure 10 ns slower and all
// alike. Where a program lands in memory is chance, so the unit of the statistics is
// a load: bench control shows what that gives.
//
// Invariant: a Verdict other than Void rests on a control, the same program
// measured as if it were a rival, that came out equal in the same session.
//
// The package knows programs by file descriptor (Instance); who loads them, and
// from what, is the caller's business.
package measure
