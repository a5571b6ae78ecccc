package mapstate

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// State is the initial contents of a map.
type State struct {
	Name    string
	Entries []Entry
}

// Entry is one element. The value of a per-CPU map is one CPU's, or those of all
// CPUs end to end.
type Entry struct {
	Key, Value   []byte
	KeyCookies   []Cookie
	ValueCookies []Cookie
}

// Deferred reports whether the entry names sockets.
func (e Entry) Deferred() bool { return len(e.KeyCookies)+len(e.ValueCookies) > 0 }

// Resolve puts in the sockets' cookies.
func (e Entry) Resolve(cookies []uint64) (key, value []byte, err error) {
	key, err = resolve(e.Key, e.KeyCookies, cookies)
	value, err2 := resolve(e.Value, e.ValueCookies, cookies)
	return key, value, errors.Join(err, err2)
}

func resolve(b []byte, at []Cookie, cookies []uint64) ([]byte, error) {
	if len(at) == 0 {
		return b, nil
	}
	b = bytes.Clone(b)
	for _, c := range at {
		if c.Socket >= len(cookies) {
			return nil, fmt.Errorf("cookie:%d: there are %d sockets", c.Socket, len(cookies))
		}
		binary.NativeEndian.PutUint64(b[c.Offset:], cookies[c.Socket])
	}
	return b, nil
}

// Text is a map as YAML has it.
type Text struct {
	Name    string `yaml:"name"`
	Entries []struct {
		Key   string `yaml:"key"`
		Value string `yaml:"value"`
	} `yaml:"entries"`
	// Dump is a file that bpftool wrote.
	Dump string `yaml:"dump"`
}

// State encodes the entries, without a dump.
func (t Text) State() (State, error) {
	s := State{Name: t.Name}
	if t.Name == "" {
		return s, errors.New("a map without a name")
	}
	for i, e := range t.Entries {
		var out Entry
		var err, err2 error
		out.Key, out.KeyCookies, err = Encode(e.Key)
		out.Value, out.ValueCookies, err2 = Encode(e.Value)
		if err := errors.Join(err, err2); err != nil {
			return s, fmt.Errorf("map %s: entry %d: %w", t.Name, i+1, err)
		}
		s.Entries = append(s.Entries, out)
	}
	return s, nil
}

// Parse reads YAML; the dumps that it names are read from folder.
func Parse(text []byte, folder string) ([]State, error) {
	var f struct {
		Maps []Text `yaml:"maps"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(f.Maps) == 0 {
		return nil, errors.New("describes no maps: want a list 'maps' of name and entries")
	}
	var out []State
	for _, t := range f.Maps {
		s, err := t.State()
		if err != nil {
			return nil, err
		}
		if t.Dump != "" {
			path := t.Dump
			if !filepath.IsAbs(path) {
				path = filepath.Join(folder, path)
			}
			more, err := readDumpFile(path)
			if err != nil {
				return nil, fmt.Errorf("map %s: %w", t.Name, err)
			}
			s.Entries = append(s.Entries, more...)
		}
		out = append(out, s)
	}
	return out, nil
}

// ReadFiles reads what a command line names: YAML files, and dumps as
// MAP=FILE.json.
func ReadFiles(args []string) ([]State, error) {
	var out []State
	for _, a := range args {
		name, path, isDump := strings.Cut(a, "=")
		if isDump {
			entries, err := readDumpFile(path)
			if err != nil {
				return nil, fmt.Errorf("map %s: %w", name, err)
			}
			out = append(out, State{name, entries})
			continue
		}
		text, err := os.ReadFile(a)
		if err != nil {
			return nil, err
		}
		if t := bytes.TrimSpace(text); len(t) > 0 && t[0] == '[' {
			return nil, fmt.Errorf("%s looks like a dump: say of which map, as MAP=%s", a, a)
		}
		states, err := Parse(text, filepath.Dir(a))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a, err)
		}
		out = append(out, states...)
	}
	return out, nil
}

func readDumpFile(path string) ([]Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := ReadDump(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return entries, nil
}

// maxDumpEntries bounds what a dump may hold.
const maxDumpEntries = 1 << 22

// ReadDump reads what `bpftool map dump -j` prints: a list of entries whose keys
// and values are lists of bytes in hex, with a value for each CPU in per-CPU
// maps.
func ReadDump(r io.Reader) ([]Entry, error) {
	d := json.NewDecoder(r)
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, fmt.Errorf("map dump: not a JSON list (%v)", err)
	}
	var out []Entry
	for d.More() {
		var e struct {
			Key    []string `json:"key"`
			Value  []string `json:"value"`
			Values []struct {
				CPU   int      `json:"cpu"`
				Value []string `json:"value"`
			} `json:"values"`
		}
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("map dump: entry %d: %w", len(out)+1, err)
		}
		for i, v := range e.Values {
			if v.CPU != i {
				return nil, fmt.Errorf("map dump: entry %d: values of CPU %d where %d should be", len(out)+1, v.CPU, i)
			}
			e.Value = append(e.Value, v.Value...)
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
		out = append(out, Entry{Key: key, Value: value})
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
