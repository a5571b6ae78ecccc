package measure

import (
	"fmt"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure/mapstate"
)

// fill sets the initial contents of a program's maps: the entries that name
// sockets if their cookies are given, else all others. A map that the program
// does not use is passed over: an optimized program may have lost its last use.
func fill(l *loader.Loaded, states []mapstate.State, cookies []uint64) error {
	for _, s := range states {
		m, ok := l.Map(s.Name)
		if !ok {
			continue
		}
		for i, e := range s.Entries {
			if e.Deferred() != (cookies != nil) {
				continue
			}
			key, value, err := e.Resolve(cookies)
			if err != nil {
				return fmt.Errorf("map %s: entry %d: %w", s.Name, i+1, err)
			}
			if len(key) != m.KeySize() || !m.Fits(value) {
				return fmt.Errorf("map %s: entry %d has a key of %d and a value of %d bytes, the map %d and %d",
					s.Name, i+1, len(key), len(value), m.KeySize(), m.ValueSize())
			}
			if err := m.Set(key, value); err != nil {
				return fmt.Errorf("map %s: entry %d: %w", s.Name, i+1, err)
			}
		}
	}
	return nil
}
