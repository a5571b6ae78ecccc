// Package locks holds the interpreter against the kernel: random loadable
// programs run in both, and every register, stack byte, packet byte and map byte
// must agree. Agreement among our own parts is not correctness; the kernel is
// the referee.
//
// testdata/helpers holds a program for each helper that the interpreter computes;
// testdata/deviations, cases in which a kernel departs from the instruction set.
// Program makes a random XDP program over all rows of the instruction table
// that compute, branch forward, or access stack, packet and map memory. Each
// disagreement ever found belongs into testdata/bugs as a text file, which the
// tests run too.
//
// Woven makes programs that leave an optimizer something to do. Their rewrites
// that package equiv calls equal run beside them in the kernel:
// TestEqualIsEqualInTheKernel, more of them with -kernel.pairs, and FuzzEquivKernel.
//
// What the verifier's log says of registers is held against package absint's
// states. testdata/precision.txt, which -update writes, has how often the verifier
// knows more, and where: paths that we join it goes one by one.
package locks
