// Package search finds cheaper windows by the Markov chain of the K2 paper
// (Xu et al., "Synthesizing Safe and Efficient Kernel Extensions for Packet
// Processing", SIGCOMM 2021).
//
// A window is a straight run of instructions inside a block. The chain walks
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
