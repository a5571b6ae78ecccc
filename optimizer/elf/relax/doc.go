// Package relax reads BPF objects with cilium/ebpf that its reader refuses
// though libbpf loads them.
//
// The reader takes an object as a whole. When it refuses one, this package
// rewrites a copy: struct_ops sections, private data sections (.bss.NAME), weak
// externals, typed kernel symbols, second names of functions, memory nodes of maps
// and what static linking left between functions are put in a form that it knows,
// and the specifications it returns are set right afterwards. If that does not help,
// each program is read by itself, with the code that it does not reach
// replaced by exits, so that one program never blocks the others.
//
// Invariant: what the copy loads as is what the object loads as; nothing here
// reaches the written object.
package relax
