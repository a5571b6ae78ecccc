package symex

import "github.com/superbpf/superbpf/optimizer/smt"

// Log is what an execution told its engine and asked of it, beyond what it did to
// its state. Another engine that is told the same and gives the same answers need
// not execute again.
type Log struct{ events []event }

type event struct {
	kind   eventKind
	term   smt.Term
	region Region
	name   string
	shape  shape
}

type eventKind uint8

const (
	asked    eventKind = iota // what term points into
	isRegion                  // what it points into was told
	noRegion
	isShape // how the bytes of a token were stored
	assumed // a fact outside the program
	named   // a map
)

// Record makes the engine write what it does from now on to l; nil ends that.
func (e *Engine) Record(l *Log) { e.log = l }

func (e *Engine) write(v event) {
	if e.log != nil {
		e.log.events = append(e.log.events, v)
	}
}

// relies takes in an assumption.
func (e *Engine) relies(on string) {
	e.assume[on] = true
	e.write(event{kind: assumed, name: on})
}

// names takes in that the function names a map.
func (e *Engine) names(m string) {
	e.maps[m] = true
	e.write(event{kind: named, name: m})
}

// Replay tells the engine what the execution of l did, up to where an answer would
// be another one: it returns false there, and what was told is what an execution
// would have told by then.
func (e *Engine) Replay(l *Log) bool {
	for i := range l.events {
		v := &l.events[i]
		switch v.kind {
		case asked:
			if e.regionOf(v.term) != v.region {
				return false
			}
		case isRegion:
			e.regions[v.term] = v.region
		case noRegion:
			delete(e.regions, v.term)
		case isShape:
			e.noteShape(v.term, v.shape)
		case assumed:
			e.assume[v.name] = true
		case named:
			e.maps[v.name] = true
		}
	}
	return true
}

// Like reports whether an execution of the same code in the same state is the same
// in both engines, answers about regions aside. It gives e what o numbered so far.
func (e *Engine) Like(o *Engine) bool {
	if e.C != o.C || e.Type != o.Type || e.Entry != o.Entry || e.hidden != o.hidden || e.args != o.args || e.fp != o.fp || e.ctx != o.ctx || e.PreserveShared != o.PreserveShared || e.Coarse != o.Coarse {
		return false
	}
	e.refs = o.refs
	return true
}
