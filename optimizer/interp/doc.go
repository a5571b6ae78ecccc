// Package interp is the concrete machine: it runs programs on packets, contexts
// and maps in user space, fast enough to filter candidates before any proof.
//
// The meaning of an instruction is its isa term. zexec.go holds these terms
// spelled out in Go (package gen writes it); Machine.Reference walks the terms
// instead. The kernel is the referee: loader/locks runs random programs both
// here and through BPF_PROG_TEST_RUN.
//
// Memory is a list of regions (stack frames, context, packet, the values of
// each map); a region's index is in the upper half of its addresses, so an
// address finds its bytes without a search. A helper is carried out where its
// result matters (maps, packet bytes, checksums); others answer with values
// drawn from the input's seed, the helper's number and how often it was called.
// Calls with an effect are listed in the outcome's trace. What cannot be run
// (kfuncs, helpers without a row) gives ErrUnsupported, never a guess.
//
// Invariant: a run depends on the functions and the Input alone.
//
// To add a helper, add a function to the table in helpers.go. To add an opcode,
// add its row in isa and run go generate.
package interp

//go:generate go test ./gen -run TestGeneratedFileIsFresh -update
