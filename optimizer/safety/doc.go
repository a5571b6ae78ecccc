// Package safety says which programs the kernel's checker would refuse, so that
// a candidate need not be loaded to learn it.
//
// What each instruction owes is data (Of): registers that must hold something,
// memory that must be accessible, arithmetic that must be allowed on pointers,
// arguments of helpers, the result. Deciding is separate (Obligation.holds): it
// looks at what absint knows on one path, since the kernel's checker joins no
// paths. Check walks the paths.
//
// Only a clear violation is a refusal. What the model does not know (BTF, kfuncs,
// references, locks) it lets pass: the kernel decides in the end. `superbpf
// bench safety` holds the model against the running kernel.
//
// To teach it a rule, add a kind of obligation, say in Of who owes it, and decide
// it. The rules are those of kernel/bpf/verifier.c in Linux 6.12 to 6.18, for a
// loader that has all rights.
package safety
