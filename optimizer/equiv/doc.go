// Package equiv proves that one function body may replace another.
//
// The method is translation validation by cut-point simulation. The two
// functions P and Q are cut at pairs of program points: their entries, and
// pairs of joins that cut every cycle. Between cuts the code is a tree of
// paths, which symex runs on terms. At a cut the proof keeps, for each register
// and stack location of P and of Q, a term if it is the same along every way to
// the cut, else a variable shared by all locations that hold equal terms along
// every way; and the branch conditions that hold along every way. It starts
// with what the first way says and weakens until nothing changes, as in global
// value numbering (Alpern, Wegman, Zadeck 1988).
//
// At the end, along each pair of paths that can be taken together, P and Q must
// reach the same kind of point with equal memory, equal calls in the same
// order, and an equal result at an exit.
//
// A replacement that changes few places of a function is proved by windows
// first: equal code keeps equal states equal, so only the code around the
// changes is run, from a point where both functions are in one state, with what
// the cuts say of p there, to points where they are in one state again. What no
// window proves is left to the proof over the whole functions, unless these
// are large.
//
// Why windows may compare live registers only. Between windows this holds of a
// pair of points that correspond: memory, frame and calls are the same, and so is
// every register that either function may read before it writes it. Walking on
// over an instruction that both have keeps that: what it reads is among these,
// what it writes is the same, and what may be read after it was either written
// by it or might be read before it. Pointers may be a known constant apart instead;
// an instruction that reads such a register is not walked over but a window's. A window starts there with the state that
// the cuts show of p, which is right for p's registers whether read later or
// not; of q's registers only those are given that are known to be the same, and
// one that is not given cannot be read. Where a window ends all of it is shown
// again, for the union of what both may read, or it does not end there. A
// register that holds nothing in both at an end (a call took it) may come back
// at the next start as a value of which nothing is known: p, which passed the
// verifier, does not read it on the ways on which it holds nothing, so if q
// does, what q does depends on it and p's does not, and they are not shown equal.
// Bytes of the frame are treated likewise: one that p reads no more may hold
// anything in q, and then counts as unlike everything where the next window starts.
// That liveness itself is right is tested by runs with all dead registers
// poisoned (TestDeadRegistersDoNotMatter).
//
// A call of a function of the object says what it does by a name that both have,
// unless q calls it less often: then its body is run in its place, in both, with a
// frame of its own.
//
// Memory that other processors see has rules of its own (symex keeps them): no
// store is invented, an aligned store is not split, loads stay on their side of
// an atomic that orders.
//
// Most replacements that a search proposes are wrong, so tests come first: runs
// in environments made up for the function (package environ), where one that
// differs is Different. A proof that contradicts a test is no proof.
//
// A new case is a text file in testdata: two bodies and the verdict; bugs go to
// testdata/bugs for ever. Package campaign damages the bodies of all cases in
// one place and requires that what is still Equal behaves alike; `superbpf bench
// mutants` does it for long, over objects too.
//
// Invariant: Equal is answered only if every obligation was discharged under
// the final, weakest relation. Hints and heuristics (which points are paired)
// can cause Unknown, never Equal.
package equiv
