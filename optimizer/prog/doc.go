// Package prog holds a BPF function as the optimizer edits it: instructions
// with jump targets as instruction indices and symbolic operands, the control
// flow graph, dominators, liveness, windows and splicing.
//
// Invariant: after every edit Check(f) is nil: targets in range, no fall
// through the end, only valid rows.
package prog
