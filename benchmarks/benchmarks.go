package benchmarks

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/superbpf/superbpf/measure/mapstate"
)

//go:embed suites include paper
var files embed.FS

// Bench is one benchmark program.
type Bench struct {
	Name        string          `yaml:"name"`
	Description string          `yaml:"description"`
	Program     string          `yaml:"program"`
	Paper       string          `yaml:"paper"`
	Context     int             `yaml:"context"` // bytes
	Maps        []mapstate.Text `yaml:"maps"`

	// Traffic is its traffic.yaml, a profile of package traffic; nil if it has
	// none and runs on the default mix.
	Traffic []byte `yaml:"-"`

	// States are the contents of Maps.
	States []mapstate.State `yaml:"-"`

	dir fs.FS // its folder
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
	var root fs.FS = os.DirFS(suite)
	if slices.Contains(Suites(), suite) {
		var err error
		if root, err = fs.Sub(files, "suites/"+suite); err != nil {
			return nil, err
		}
	} else if st, err := os.Stat(suite); err != nil || !st.IsDir() {
		return nil, fmt.Errorf("no suite %q: %s, all, or a folder of programs", suite, strings.Join(Suites(), ", "))
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
		if m.Dump != "" {
			return nil, fmt.Errorf("map %s: a benchmark lists its entries and reads no dump", m.Name)
		}
		state, err := m.State()
		if err != nil {
			return nil, err
		}
		b.States = append(b.States, state)
	}
	return b, nil
}
