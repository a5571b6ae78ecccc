// Package smt is the term language of proofs and the only importer of Z3.
//
// Terms are bit-vectors of 1 to 64 bits (a boolean is one bit), hash-consed in
// a Ctx: equal normal forms are the same Term, so most proof obligations are
// settled by comparing two integers. Constructors normalize as they build:
//
//   - sums are a constant plus sorted terms with coefficients;
//   - constant shifts, masks, zero extensions and byte shuffles are
//     concatenations of slices;
//   - low-part extraction moves inward through arithmetic;
//   - a comparison with a constant has the constant on the right.
//
// Invariant: a constructor's result evaluates as SMT-LIB says the operation
// does, for every assignment. Tests hold it against a direct evaluator and
// against Z3. Options.Raw switches normalization off, so that a verdict can be
// had without trusting it.
//
// Ctx.Quick decides many questions by putting what one condition says of a term
// into the others, and by trying assignments, before a solver is asked.
//
// Solvers answer Unknown, Unsat or Sat; Unknown is the zero value. The
// backends are go-z3 (build tag z3cgo, see run.sh), and `z3 -in` and cvc5 over
// a pipe. To add one, implement Solver and name it in Open.
package smt
