package measure

import (
	"fmt"
	"slices"
	"strings"
)

// masks are the places that a comparison leaves out, by what they belong to:
// byte offsets of packets, contexts and the values of a map; offset 0 stands for
// the whole of what has no bytes.
type masks struct {
	hidden map[string]map[int]bool
	notes  map[string]string
}

func newMasks() *masks {
	return &masks{map[string]map[int]bool{}, map[string]string{}}
}

func (m *masks) hides(what string, offset int) bool { return m.hidden[what][offset] }

func (m *masks) hide(what string, offset int) {
	if m.hidden[what] == nil {
		m.hidden[what] = map[int]bool{}
	}
	m.hidden[what][offset] = true
}

func (m *masks) note(what, why string) { m.notes[what] = why }

// add hides what was found to differ.
func (m *masks) add(f *found) {
	switch {
	case f.keys:
		m.hide(f.mapName+" keys", 0)
	case len(f.offsets) == 0:
		m.hide(f.What, 0)
	default:
		for _, o := range f.offsets {
			m.hide(f.What, o)
		}
	}
}

// visible lists the offsets at which x and y differ and no mask hides it. Where
// lengths differ, the bytes past the shorter count as different only if the
// length itself is compared, which is the caller's work.
func (m *masks) visible(what string, x, y []byte) []int {
	var offs []int
	hidden := m.hidden[what]
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] && !hidden[i] && !carried(x, y, i, hidden) {
			offs = append(offs, i)
		}
	}
	return offs
}

// carried tells whether byte i differs only because hidden lower bytes of its
// aligned 64-bit word carried into it: two readings of a clock that lie on
// either side of a round number differ in bytes that hardly ever move.
func carried(x, y []byte, i int, hidden map[int]bool) bool {
	word, top := i&^7, -1
	for o := word; o < i; o++ {
		if hidden[o] {
			top = o
		}
	}
	if top < 0 {
		return false
	}
	var diff uint64
	for o := min(word+8, len(x), len(y)) - 1; o >= word; o-- {
		diff = diff<<8 + uint64(x[o]) - uint64(y[o])
	}
	return min(diff, -diff) < 1<<(8*(top-word+1))
}

// list says what is masked, one line each.
func (m *masks) list() []string {
	var lines []string
	for what, offs := range m.hidden {
		if what == "packet" || what == "context" || strings.HasPrefix(what, "map ") && !strings.HasSuffix(what, " keys") {
			lines = append(lines, fmt.Sprintf("%s: bytes %s differ from run to run", what, ranges(offs)))
		} else {
			lines = append(lines, what+" differs from run to run")
		}
	}
	for what, why := range m.notes {
		lines = append(lines, what+": "+why)
	}
	slices.Sort(lines)
	return lines
}

// ranges prints a set of offsets as "0-3, 8".
func ranges(set map[int]bool) string {
	var offs []int
	for o := range set {
		offs = append(offs, o)
	}
	slices.Sort(offs)
	var parts []string
	for i := 0; i < len(offs); {
		j := i
		for j+1 < len(offs) && offs[j+1] == offs[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(offs[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", offs[i], offs[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}
