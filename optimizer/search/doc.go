// Package search finds cheaper code by trying it: by enumeration, and by the
// Markov chain of the K2 paper (Xu et al., "Synthesizing Safe and Efficient
// Kernel Extensions for Packet Processing", SIGCOMM 2021).
//
// Enumeration works on slices (package slice). A bank holds the values that one
// or two operations make of a slice's inputs, each once, told apart by what
// they are on a set of tests that respects what is known of the inputs. The
// slice's own value is the goal: it is looked up, reached with one more
// operation whose immediate is derived from goal and value, met in the middle
// (for each value the one that a joining operation would need is looked up), and
// taken apart from the root (shifts, masks, swaps, extensions) until a value
// matches what is left. Of the bytes that a slice loads, loads of all widths are
// values like others. Of stores to neighbouring bytes one is made, of the value that
// they write together. Conditions are rebuilt from values, with limits derived
// from where they change. Windows with equal facts share a bank, equal windows
// an answer.
//
// The chain works on windows. A window is a straight run of instructions inside a block. The chain walks
// over programs of the window's length; a step proposes a small change (the
// moves of the paper, each in a table with its weight) and is taken with the
// Metropolis probability of its cost: how far the outputs are off over a set
// of test states, and what the program costs. A program without error that
// costs less is handed to the pipeline, which proves and loads it.
//
// Test states come from the function's own values: unknowns are drawn at
// random and every register's term is evaluated, so that relations between
// registers hold.
//
// Invariant: same function, settings and seed give the same candidates. To add
// a move, write its function and give it a row in moves.
package search
