package pipeline

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// MoveStats counts what became of one kind of proposal of a search at random.
// Proposed is the sum of Void, Registers, Price, Tests and Taken.
type MoveStats struct {
	Move     string
	Proposed int
	// Refused before it is run: the move finds nothing to change (Void); the code
	// reads a register that holds nothing, or leaves one empty that is read later
	// (Registers); its price alone is too high (Price). Tests: it is run and too far
	// off.
	Void, Registers, Price, Tests int
	// Taken: the search goes on from there. Better: of these, as the best so far,
	// without error and cheaper than the code that is there.
	Taken, Better int
}

// Add adds the counts of n.
func (m *MoveStats) Add(n *MoveStats) {
	m.Proposed += n.Proposed
	m.Void += n.Void
	m.Registers += n.Registers
	m.Price += n.Price
	m.Tests += n.Tests
	m.Taken += n.Taken
	m.Better += n.Better
}

// MoveCounter is a Transform that searches at random and counts its proposals.
type MoveCounter interface {
	Transform
	// TakeMoves returns the counts since it was last called, by kind of proposal in
	// a fixed order; none if there was no search.
	TakeMoves() []MoveStats
}

// takeMoves moves what the searches counted to the function's statistics.
func (w *work) takeMoves() {
	for _, t := range slices.Concat(w.opt.Search, w.opt.Last) {
		if m, ok := t.(MoveCounter); ok {
			if n := m.TakeMoves(); len(n) > 0 {
				w.stat(t.Name()).Moves = n
			}
		}
	}
}

// writeMoves writes what became of the proposals of a search, and of what it found.
func writeMoves(b *strings.Builder, name string, s *TransformStats) error {
	fmt.Fprintf(b, "  %s: judged %d of its finds: %d kept, %d not proved, %d refused by a kernel; slots saved: %d\n", name, s.Tried, s.Kept, s.Unproved, s.Refused, s.Slots)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(m *MoveStats) {
		fmt.Fprintf(t, "    %s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", m.Move, m.Proposed, m.Void, m.Registers, m.Price, m.Tests, m.Taken, m.Better)
	}
	io.WriteString(t, "    move\tproposed\tno change\tregisters\tprice\ttests\ttaken\tbetter\t\n")
	all := MoveStats{Move: "all"}
	for k := range s.Moves {
		row(&s.Moves[k])
		all.Add(&s.Moves[k])
	}
	row(&all)
	return t.Flush()
}
