// Package absint computes what is known of every register and stack byte
// before each instruction of a function: known bits, unsigned and signed
// ranges of 64 and 32 bits, kinds of pointers with their offsets, packet bytes
// that comparisons with data_end have proved, and NULL checks.
//
// Invariant: the facts are sound. Whatever the inputs, a machine that reaches
// an instruction is in a state that State.At of that instruction describes,
// given that the function passed the kernel's verifier (stores stay inside
// their regions) and, for the facts listed in Result.Assumptions, that maps
// have the number of entries that their definition says.
//
// The meaning of instructions comes from package isa: numbers are an
// isa.Domain. Only addresses (a pointer plus a number) and branch refinement
// are written here, by kind and operation. Loops end by widening at loop
// heads; two descending passes then recover bounds that widening lost.
//
// Calls.Summarize finds what static subprograms are given by all their callers.
//
// To add a context field, edit ctx_table.go; to make an operation more
// precise, edit num_ops.go: the exhaustive small-width test covers it.
//
// The domain follows tnum.c and the bounds tracking of verifier.c in the Linux
// kernel (Vishwanathan et al., "Sound, Precise, and Fast Abstract
// Interpretation with Tristate Numbers", CGO 2022).
package absint
