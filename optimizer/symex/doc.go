// Package symex runs BPF instructions on solver terms.
//
// The meaning of an instruction comes from its isa row alone; this package adds
// memory, maps and calls. An address is resolved first to a region and a base
// term plus a constant offset:
//
//   - the function's own stack is 512 byte terms;
//   - all other memory is divided in classes that never overlap (context,
//     packet, the values of each map, the rest); a class is a token for its
//     contents at some point followed by groups of byte writes. Writes through
//     equal bases merge; a write through another base of the class starts a new
//     group, because the two may overlap.
//
// A call becomes a token made of the helper, its arguments, the bytes it reads
// and, when it is an effect, the state of all memory and the calls before. Its
// results are uninterpreted functions of that token, so equal histories give
// equal terms.
//
// Atomic operations are calls, too: they keep their order, and what they find is
// not known. By the user's leave (Engine.Plain) one that returns nothing counts
// as a load and a store. With PreserveShared plain accesses to map memory, and to
// memory that may be, are calls in the same sense.
//
// Invariant: two executions that end with equal terms in a location hold equal
// values there, in every environment in which the first one's accesses are in
// bounds. Nothing is concluded from unequal terms.
package symex
