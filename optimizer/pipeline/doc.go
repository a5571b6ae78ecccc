// Package pipeline drives the optimization of an object: it runs transforms
// over each function, has every result proved and accepted by the kernel's
// verifier, and keeps the ones that lower the cost.
//
// Transforms are untrusted. A result replaces code only after the Prover said
// Equal and every Gate accepted each program that contains the function. When
// either refuses a result made of several rewrites, the driver bisects: the
// guilty rewrite is dropped and the others kept.
//
// Where the verifier takes long over a function and Options.FewLoads allows it, several
// proved steps are loaded together; refused, they are taken back and loaded one by one.
//
// Once nothing helps any more, the transforms run again in other orders, and after
// rewrites that cost something: where they come to rest depends on both.
//
// Invariant: the sequence of steps of a function is a chain; each step's
// function was proved to be allowed to replace the one before.
//
// Kernel and measurement come in through the Gate and Meter interfaces, so
// that the package builds and tests without root.
package pipeline
