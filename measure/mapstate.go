package measure

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/superbpf/superbpf/loader"
)

// MapState is the initial contents of a map.
type MapState struct {
	Name    string
	Entries []loader.Entry
}

// maxDumpEntries bounds what a dump may hold.
const maxDumpEntries = 1 << 22

// ReadMapDump reads what `bpftool map dump -j` prints: a list of entries whose
// keys and values are lists of bytes in hex. Of a per-CPU map's values the first
// CPU's is taken, for all CPUs.
func ReadMapDump(r io.Reader) ([]loader.Entry, error) {
	d := json.NewDecoder(r)
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, fmt.Errorf("map dump: not a JSON list (%v)", err)
	}
	var out []loader.Entry
	for d.More() {
		var e struct {
			Key    []string `json:"key"`
			Value  []string `json:"value"`
			Values []struct {
				Value []string `json:"value"`
			} `json:"values"`
		}
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("map dump: entry %d: %w", len(out)+1, err)
		}
		if e.Value == nil && len(e.Values) > 0 {
			e.Value = e.Values[0].Value
		}
		key, err := hexBytes(e.Key)
		if err != nil {
			return nil, fmt.Errorf("map dump: entry %d: key: %w", len(out)+1, err)
		}
		value, err := hexBytes(e.Value)
		if err != nil {
			return nil, fmt.Errorf("map dump: entry %d: value: %w", len(out)+1, err)
		}
		if len(out) == maxDumpEntries {
			return nil, fmt.Errorf("map dump: more than %d entries", maxDumpEntries)
		}
		out = append(out, loader.Entry{Key: key, Value: value})
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("map dump: %w", err)
	}
	return out, nil
}

func hexBytes(list []string) ([]byte, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("no bytes")
	}
	b := make([]byte, len(list))
	for i, s := range list {
		v, err := strconv.ParseUint(s, 0, 8)
		if err != nil {
			return nil, fmt.Errorf("byte %q", s)
		}
		b[i] = byte(v)
	}
	return b, nil
}

// Fill makes a function that sets the initial contents of an instance's maps,
// as FromObject and Race take it. A map that the program does not use is passed
// over: an optimized program may have lost its last use.
func Fill(states []MapState) func(*loader.Loaded) error {
	return func(l *loader.Loaded) error {
		for _, s := range states {
			m, ok := l.Map(s.Name)
			if !ok {
				continue
			}
			for i, e := range s.Entries {
				if len(e.Key) != m.KeySize() || len(e.Value) != m.ValueSize() {
					return fmt.Errorf("map %s: entry %d has a key of %d and a value of %d bytes, the map %d and %d",
						s.Name, i+1, len(e.Key), len(e.Value), m.KeySize(), m.ValueSize())
				}
				if err := m.Set(e.Key, e.Value); err != nil {
					return fmt.Errorf("map %s: entry %d: %w", s.Name, i+1, err)
				}
			}
		}
		return nil
	}
}
