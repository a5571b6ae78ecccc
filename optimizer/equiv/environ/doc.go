// Package environ runs functions in made-up environments, to test what proofs claim.
//
// It differs from package interp in that nothing is real: every address is
// readable, and every helper answers something, so any pair of functions can be
// compared. A World fixes everything outside the function: memory contents, packet, which
// keys maps hold, what helpers answer. All of it is computed from a seed, so two
// functions run in the same World meet the same environment. A Trace is what a
// run did that others can see: calls in order, memory outside the frame, the
// result. A Suite is Worlds that fit one function, in which many other bodies are
// held against it.
//
// What the function leaves open is no difference: registers that a helper is
// given but that hold nothing, bytes of the frame never written, how often time
// or chance is asked.
//
// The meaning of instructions comes from the isa rows. Every address is
// readable: bounds are the kernel's matter, and a World only has to give
// functions that the kernel accepts the chance to differ.
//
// Invariant: runs of one function in one World give equal Traces. To teach it a
// helper with a meaning of its own, add a case to call.
package environ
