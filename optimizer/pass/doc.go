// Package pass holds the rewrites that use whole-function knowledge.
//
// A pass is untrusted: its result replaces code only after the proof and the
// kernel agree. It sees the values of all registers at all program points
// (equiv.Values), looks for sites in a deterministic order, and asks for each
// whether to rewrite it. A retained or replaced instruction keeps its Origin;
// an inserted one takes that of the instruction it stands for.
//
// To add a pass, write its function in a file of its own and name it in the
// table, at the place its reasons give.
package pass
