package measure

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/superbpf/superbpf/loader"
)

// keepFirst reads the maps that only one side has. An optimizer may drop the
// last use of a map; the other side must then leave it as it was.
func (d *differ) keepFirst(s, other *side) error {
	s.first = map[string]*loader.MapDump{}
	for _, m := range s.inst.Maps {
		if other.dumps[m.Name()] != nil {
			continue
		}
		dump := new(loader.MapDump)
		if err := m.Dump(dump); err != nil && !errors.Is(err, loader.ErrNoDump) {
			return err
		}
		s.first[m.Name()] = dump
	}
	return nil
}

// maps compares the contents of all maps.
func (d *differ) maps(sides *[2]side, i int) (*found, error) {
	for k := range sides {
		s, other := &sides[k], &sides[1-k]
		for _, m := range s.inst.Maps {
			if k == 1 && s.first[m.Name()] == nil {
				continue // compared with the first side's already
			}
			name, mine, theirs := "map "+m.Name(), s.dumps[m.Name()], s.first[m.Name()]
			err := m.Dump(mine)
			if theirs == nil {
				theirs = other.dumps[m.Name()]
				err = errors.Join(err, other.mapNamed(m.Name()).Dump(theirs))
			}
			if errors.Is(err, loader.ErrNoDump) {
				d.masks.note(name, "its contents cannot be listed")
				continue
			}
			if err != nil {
				return nil, err
			}
			if f := d.dump(name, mine, theirs); f != nil {
				f.Input, f.Packet = i, fmt.Sprintf("%x", d.o.Inputs[i].Data)
				return f, nil
			}
		}
	}
	return nil, nil
}

func (s *side) mapNamed(name string) Map {
	i := slices.IndexFunc(s.inst.Maps, func(m Map) bool { return m.Name() == name })
	return s.inst.Maps[i]
}

// dump compares two dumps of a map, in whatever order they list the keys.
func (d *differ) dump(name string, x, y *loader.MapDump) *found {
	if x.Count == y.Count && bytes.Equal(x.Keys, y.Keys) && bytes.Equal(x.Values, y.Values) {
		return nil
	}
	f := &found{Difference: Difference{What: name}, mapName: name}
	px, py := byKey(x), byKey(y)
	noKeys := d.masks.hides(name+" keys", 0)
	for i, j := 0, 0; i < len(px) || j < len(py); {
		order := 0
		switch {
		case i == len(px):
			order = 1
		case j == len(py):
			order = -1
		default:
			order = bytes.Compare(x.Key(px[i]), y.Key(py[j]))
		}
		switch {
		case order < 0:
			if !noKeys {
				f.keys, f.Detail = true, fmt.Sprintf("only the first has key %x", x.Key(px[i]))
				return f
			}
			i++
		case order > 0:
			if !noKeys {
				f.keys, f.Detail = true, fmt.Sprintf("only the second has key %x", y.Key(py[j]))
				return f
			}
			j++
		default:
			u, v := x.Value(px[i]), y.Value(py[j])
			if !bytes.Equal(u, v) {
				if offs := d.masks.visible(name, u, v); len(offs) > 0 {
					f.offsets = offs
					f.Detail = fmt.Sprintf("key %x, byte %d: %x, but %x", x.Key(px[i]), offs[0], u, v)
					return f
				}
			}
			i++
			j++
		}
	}
	return nil
}

func byKey(d *loader.MapDump) []int {
	p := make([]int, d.Count)
	for i := range p {
		p[i] = i
	}
	if !d.Ordered {
		sort.Slice(p, func(i, j int) bool { return bytes.Compare(d.Key(p[i]), d.Key(p[j])) < 0 })
	}
	return p
}
