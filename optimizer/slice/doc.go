// Package slice sees computations as terms over their inputs instead of as
// adjacent instructions: a slice is an instruction (the root) and those before
// it, in its block or in blocks that must have run before, whose results only
// the slice reads.
//
// A Term is the slice's canonical form. Copies vanish, constants are constants
// however they were made, commutative operands have an order, and inputs are
// numbered as they are met, so that equal computations in different registers,
// functions and objects have one form. Enumeration and rules work on terms;
// Lower turns a term back into instructions for a site, and Apply puts them
// there.
//
// Loads are operations, and stores may be the root (see memory.go, stores.go).
//
// Nothing here is trusted: a rewritten function is proved like any other.
//
// Invariant: Find lists the same sites in the same order for the same function.
package slice
