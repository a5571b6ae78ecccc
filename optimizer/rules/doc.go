// Package rules holds rewrites that were found once and hold in general.
//
// A rule is a line:
//
//	proved or32r(lsh32(a, c0), rsh32(a, c1)) => rsh64(or64r(lsh64(a, 32), a), c1) if c0 == 32-c1, zext(a, 32), bits(0xffffffff)
//
// Operations are named by their rows in the instruction table, inputs are the
// letters a, b, ..., immediates c0, c1, ... stand for any number. After "if"
// come the conditions, all of which must hold: relations of immediates in Go's
// syntax, pow2(x) and mask(x) for a power of two and for a run of low ones,
// zext(a, n) when the input is known to have nothing above n bits, is(a, v) when
// it is known to be v, and bits(m) when only these bits of the result matter.
// A comparison at the root stands for a conditional jump, a store at the root for a
// store: stx16(a, b, c0) writes b at a+c0, and then(x, y) does what the stores x and y
// do, in this order. Loads may stand anywhere, ldx8(a, c0); all see memory as it is
// before the stores, and the right side loads no byte that the left side does not. Offsets are immediates like others.
//
// The word before says how far the rule can be trusted: "proved" in general form
// by Z3, or "site" when only instances were. It makes no difference to what
// happens to a program: every use is proved again where it is made.
//
// Rules match slices (package slice), so neither registers nor the order of
// code play a part. They are learned from objects: what enumeration finds is
// generalised as far as tests and the solver agree (Learn). default.txt, made
// that way, comes with the program; a Store adds a user's own. To make default.txt
// anew, learn from more objects into an empty store and export the whole:
//
//	superbpf rules learn --store new.db --suite all OBJECTS
//	superbpf rules export --store new.db --pruned | sort > default.txt
package rules
