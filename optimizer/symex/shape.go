package symex

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/smt"
)

// chunk is a store as the hardware does it: the bytes from offset at of a base.
// Others may see a store in halves only if it was made in halves.
type chunk struct {
	at int64
	n  int
}

// shape is how the bytes of a group of writes to shared memory were stored.
type shape map[int64]chunk

// shapes remembers how two functions stored the same bytes. A token says what
// is in memory, not how it came there.
type shapes struct {
	of    [2]map[smt.Term][]shape // by the token after the writes
	split bool
}

// Replacing tells the engine that it runs the function that is to replace the
// first one, or again the first one.
func (e *Engine) Replacing(b bool) {
	e.side = 0
	if b {
		e.side = 1
	}
}

// Restart forgets how the second function stored what it did so far.
func (e *Engine) Restart() { e.shapes.of[1], e.shapes.split = nil, false }

// Split reports whether the second function stored something in pieces that
// the first one stored at once.
func (e *Engine) Split() bool { return e.shapes.split }

// note records the shape of a group whose writes made t.
func (e *Engine) note(t smt.Term, g Group) {
	if g.Chunks == nil {
		return
	}
	e.write(event{kind: isShape, term: t, shape: shape(g.Chunks)})
	e.noteShape(t, shape(g.Chunks))
}

func (e *Engine) noteShape(t smt.Term, s shape) {
	m := e.shapes.of[e.side]
	if m == nil {
		m = map[smt.Term][]shape{}
		e.shapes.of[e.side] = m
	}
	if slices.ContainsFunc(m[t], func(o shape) bool { return s.covers(o) && o.covers(s) }) {
		return
	}
	m[t] = append(m[t], s)
	if !e.Covers(t, t) {
		e.shapes.split = true
	}
}

// Covers reports whether every store that the first function made on the way
// to token p was made at once by the second function on its way to q.
func (e *Engine) Covers(p, q smt.Term) bool {
	for _, a := range e.shapes.of[0][p] {
		for _, b := range e.shapes.of[1][q] {
			if !b.covers(a) {
				return false
			}
		}
	}
	return true
}

// covers reports whether each aligned store of o that is still whole lies
// within one store of s.
func (s shape) covers(o shape) bool {
	for at, c := range o {
		if at != c.at || c.n < 2 || c.at%int64(c.n) != 0 {
			continue
		}
		whole := true
		for i := range int64(c.n) {
			whole = whole && o[at+i] == c
		}
		if !whole {
			continue
		}
		for i := range int64(c.n) {
			if d := s[at+i]; d.at > c.at || d.at+int64(d.n) < c.at+int64(c.n) {
				return false
			}
		}
	}
	return true
}
