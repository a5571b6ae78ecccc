package measure

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// recordVersion changes when the meaning of a field does.
const recordVersion = 1

// Record is one experiment with all its raw data. Records are written once and
// never changed.
type Record struct {
	Version int    `json:"version"`
	Kind    string `json:"kind"` // latency, differ, compare, throughput, ...
	// Key names the experiment, so that an interrupted series knows what it has:
	// program, objective, whatever tells it from the others.
	Key  string    `json:"key"`
	Time time.Time `json:"time"`
	Seed uint64    `json:"seed"`
	Env  Env       `json:"env"`
	// Programs are those involved, with the hashes of their code.
	Programs []Program `json:"programs"`
	// Data is the experiment's result with its raw samples.
	Data json.RawMessage `json:"data"`
}

// Program identifies a program in a record.
type Program struct {
	Name string `json:"name"`
	Hash string `json:"hash"`
}

// NewRecord makes a record of a result, which must encode as JSON.
func NewRecord(kind, key string, seed uint64, env Env, data any, programs ...Subject) (*Record, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	r := &Record{Version: recordVersion, Kind: kind, Key: key, Time: time.Now().UTC(), Seed: seed, Env: env, Data: b}
	for _, p := range programs {
		r.Programs = append(r.Programs, Program{p.Name, p.Hash})
	}
	return r, nil
}

// Decode fills data, the type that NewRecord was given.
func (r *Record) Decode(data any) error {
	if err := json.Unmarshal(r.Data, data); err != nil {
		return fmt.Errorf("record %s %s: %w", r.Kind, r.Key, err)
	}
	return nil
}

// Log is a folder of records, a file each: dir/kind/key.jsonl. A record is
// there wholly or not at all, and what is there is done.
type Log struct{ Dir string }

// path gives a record's file; bytes that have a meaning in paths are escaped.
func (l Log) path(kind, key string) string {
	var b strings.Builder
	for _, c := range []byte(key) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && b.Len() > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return filepath.Join(l.Dir, kind, b.String()+".jsonl")
}

// Has reports whether the experiment was recorded: what a resumed series skips.
func (l Log) Has(kind, key string) bool {
	_, err := os.Stat(l.path(kind, key))
	return err == nil
}

// Write adds records of one kind and key as one file. An existing file is an
// error: records do not change.
func (l Log) Write(records ...*Record) error {
	if len(records) == 0 {
		return nil
	}
	var b bytes.Buffer
	first := records[0]
	for _, r := range records {
		if r.Kind != first.Kind || r.Key != first.Key {
			return fmt.Errorf("record: %s %s and %s %s do not go into one file", first.Kind, first.Key, r.Kind, r.Key)
		}
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("record: %w", err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	path := l.path(first.Kind, first.Key)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if err := writeOnce(path, b.Bytes()); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// writeOnce creates the file with its whole contents on disk, or not at all.
func writeOnce(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, name, err := unnamed(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if name != "" {
		defer os.Remove(name)
	} else {
		name = fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync()); err != nil {
		return err
	}
	// A link, unlike a rename, does not replace what is there.
	if err := unix.Linkat(unix.AT_FDCWD, name, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.PathError{Op: "create", Path: path, Err: err}
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// unnamed opens a file for writing that has no name, so that nothing is left of it
// if the process dies; on file systems without such files it has a temporary one.
func unnamed(dir string) (f *os.File, name string, err error) {
	if f, err = os.OpenFile(dir, unix.O_TMPFILE|os.O_WRONLY, 0o600); err == nil {
		return f, "", nil
	}
	if f, err = os.CreateTemp(dir, ".tmp-*"); err != nil {
		return nil, "", err
	}
	return f, f.Name(), nil
}

// Remove deletes an experiment's records, so that it can be made anew.
func (l Log) Remove(kind, key string) error {
	err := os.Remove(l.path(kind, key))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Read returns all records of a kind, in the order of their file names.
func (l Log) Read(kind string) ([]*Record, error) {
	files, err := filepath.Glob(filepath.Join(l.Dir, kind, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	var all []*Record
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		rs, err := ReadRecords(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, rs...)
	}
	return all, nil
}

// ReadRecords reads JSON lines.
func ReadRecords(r io.Reader) ([]*Record, error) {
	var all []*Record
	b := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := b.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			rec := new(Record)
			if err := json.Unmarshal(line, rec); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			if rec.Version != recordVersion {
				return nil, fmt.Errorf("line %d: record version %d, this program knows %d", n, rec.Version, recordVersion)
			}
			all = append(all, rec)
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
