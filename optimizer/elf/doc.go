// Package elf reads BPF objects and writes drop-in replacements.
//
// Maps, program types and BTF come from cilium/ebpf's loader (by way of package
// relax, for what it refuses), sections and symbols from debug/elf; the instruction streams are decoded by package isa
// and become one prog.Func a function symbol, with relocations as prog.Refs.
//
// Encode lays the functions out again without the removed instructions and
// moves everything that points into them: symbols, relocations, calls within a
// section, function and line info, CO-RE records. With InPlace every function
// keeps its place and size, filled up with `ja +0`, which the kernel removes.
//
// Invariants: with nothing replaced the output is the input, byte for byte; a
// replaced function names only what the input function named.
package elf
