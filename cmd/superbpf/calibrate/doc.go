// Package calibrate measures what the running kernel and CPU take for each
// kind of instruction and helper, and makes a cost model of it.
//
// A probe is a straight run of one instruction (with what must surround it)
// between a common beginning and end. Its time beyond that of the empty run,
// less the price of what surrounds it, divided by the number of copies, is the
// price. Probes are measured in paired sessions of package measure, each with a
// control that voids it. They run as sched_cls programs, which need no
// attachment and see a context whose values the verifier does not know.
//
// To price something new, add a probe in probes.go.
package calibrate
