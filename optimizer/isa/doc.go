// Package isa describes the BPF instruction set, once.
//
// Every opcode is a Row of the table: its encoding, syntax, operands, kind,
// minimum -mcpu level and its meaning as an Expr. The printer, the parser, the
// codec, liveness, the interpreter, the SMT encoding and the cost keys are all
// derived from that row. Code outside this package switches on Row.Kind and
// Row.Fn, never on an opcode byte.
//
// Invariant: Decode(Encode(i)) == i for every valid instruction, and each row
// agrees with the kernel (the interpreter's tests run every row through
// BPF_PROG_TEST_RUN).
//
// To add an opcode, add its row in table.go. Reference:
// Documentation/bpf/standardization/instruction-set.rst and kernel/bpf/core.c
// of the Linux kernel.
package isa
