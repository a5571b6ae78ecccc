package benchmarks

import (
	"bytes"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

//go:embed suites include paper
var files embed.FS

// Bench is one benchmark program.
type Bench struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	Program     string `yaml:"program"`
	Paper       string `yaml:"paper"`
	Context     int    `yaml:"context"` // bytes
	Maps        []Map  `yaml:"maps"`

	// Traffic is its traffic.yaml, a profile of package traffic; nil if it has
	// none and runs on the default mix.
	Traffic []byte `yaml:"-"`

	dir fs.FS // its folder
}

// Map says what to put into a map before a run.
type Map struct {
	Name    string  `yaml:"name"`
	Entries []Entry `yaml:"entries"`
}

// Entry is one element, in the text form of the package documentation.
type Entry struct {
	Key   string `yaml:"key"`
	Value string `yaml:"value"`
}

// Suites lists the suites that the program brings along.
func Suites() []string {
	es, err := fs.ReadDir(files, "suites")
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range es {
		out = append(out, e.Name())
	}
	return out
}

// Load reads a suite: one of Suites, "all", or a folder of programs.
func Load(suite string) ([]*Bench, error) {
	if suite == "all" {
		var all []*Bench
		for _, s := range Suites() {
			b, err := Load(s)
			if err != nil {
				return nil, err
			}
			all = append(all, b...)
		}
		return all, nil
	}
	root, err := fs.Sub(files, "suites/"+suite)
	if err != nil {
		return nil, err
	}
	if _, err := fs.Stat(root, "."); err != nil {
		if st, serr := os.Stat(suite); serr != nil || !st.IsDir() {
			return nil, fmt.Errorf("no suite %q: %s, all, or a folder of programs", suite, strings.Join(Suites(), ", "))
		}
		root = os.DirFS(suite)
	}
	names, err := fs.Glob(root, "*/bench.yaml")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("suite %q holds no program (NAME/bench.yaml)", suite)
	}
	var out []*Bench
	for _, n := range names {
		dir, err := fs.Sub(root, filepath.ToSlash(filepath.Dir(n)))
		if err != nil {
			return nil, err
		}
		b, err := read(dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		out = append(out, b)
	}
	slices.SortStableFunc(out, func(a, b *Bench) int { return paperOrder(a.Paper) - paperOrder(b.Paper) })
	return out, nil
}

func read(dir fs.FS) (*Bench, error) {
	text, err := fs.ReadFile(dir, "bench.yaml")
	if err != nil {
		return nil, err
	}
	b := &Bench{dir: dir}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(b); err != nil {
		return nil, err
	}
	if b.Name == "" || b.Program == "" {
		return nil, errors.New("name and program must be given")
	}
	if b.Traffic, err = fs.ReadFile(dir, "traffic.yaml"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, m := range b.Maps {
		for _, e := range m.Entries {
			for _, s := range []string{e.Key, e.Value} {
				if _, err := Encode(s); err != nil {
					return nil, fmt.Errorf("map %s: %w", m.Name, err)
				}
			}
		}
	}
	return b, nil
}

// Encode turns the text form of a key or value into bytes.
func Encode(s string) ([]byte, error) {
	var out []byte
	for _, f := range strings.Fields(s) {
		kind, v, ok := strings.Cut(f, ":")
		if !ok {
			return nil, fmt.Errorf("%q: want kind:value", f)
		}
		n, numErr := strconv.ParseUint(v, 0, 64)
		var err error
		le, be := binary.LittleEndian, binary.BigEndian
		switch kind {
		case "u8":
			out, err = append(out, byte(n)), numErr
		case "u16":
			out, err = le.AppendUint16(out, uint16(n)), numErr
		case "u32":
			out, err = le.AppendUint32(out, uint32(n)), numErr
		case "u64":
			out, err = le.AppendUint64(out, n), numErr
		case "be16":
			out, err = be.AppendUint16(out, uint16(n)), numErr
		case "be32":
			out, err = be.AppendUint32(out, uint32(n)), numErr
		case "be64":
			out, err = be.AppendUint64(out, n), numErr
		case "pad":
			if n > 4096 {
				err = fmt.Errorf("too long")
			} else {
				out, err = append(out, make([]byte, n)...), numErr
			}
		case "ip":
			var a netip.Addr
			if a, err = netip.ParseAddr(v); err == nil {
				out = append(out, a.AsSlice()...)
			}
		case "mac":
			var a net.HardwareAddr
			a, err = net.ParseMAC(v)
			out = append(out, a...)
		case "hex":
			var b []byte
			b, err = hex.DecodeString(v)
			out = append(out, b...)
		default:
			err = fmt.Errorf("unknown kind")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", f, err)
		}
	}
	return out, nil
}
