package rules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

var bucket = []byte("rules")

// StorePath is where a user's rules are kept unless he names another place.
func StorePath() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "superbpf", "rules.db"), err
}

// Store keeps a user's rules on disk.
type Store struct{ db *bbolt.DB }

// lockWait bounds the wait for another process that has the store open.
const lockWait = 5 * time.Second

// OpenStore opens the store at path, and makes it if write is set and there is
// none; without write a missing store gives fs.ErrNotExist.
func OpenStore(path string, write bool) (*Store, error) {
	if write {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return nil, err
		}
	} else if st, err := os.Stat(path); err != nil {
		return nil, err
	} else if st.Size() == 0 { // it would be written to
		return nil, fmt.Errorf("rule store %s is empty: remove it, or name another", path)
	}
	db, err := bbolt.Open(path, 0o666, &bbolt.Options{ReadOnly: !write, Timeout: lockWait})
	if err != nil {
		return nil, fmt.Errorf("rule store %s cannot be used (remove it, or name another): %w", path, err)
	}
	return &Store{db}, nil
}

// Close closes the store.
func (s *Store) Close() error { return s.db.Close() }

// Load adds the store's rules to a set.
func (s *Store) Load(set *Set) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			r, err := Parse(string(v) + " " + string(k))
			if err != nil {
				return fmt.Errorf("rule store %s: %w", s.db.Path(), err)
			}
			set.Add(r)
			return nil
		})
	})
}

// Replace makes the store hold exactly these rules.
func (s *Store) Replace(list []*Rule) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket(bucket); err != nil && tx.Bucket(bucket) != nil {
			return err
		}
		b, err := tx.CreateBucket(bucket)
		if err != nil {
			return err
		}
		for _, r := range list {
			word := "site"
			if r.Proved {
				word = "proved"
			}
			if err := b.Put([]byte(r.text), []byte(word)); err != nil {
				return err
			}
		}
		return nil
	})
}

// WithStore is the default set with the rules of the store at path, if there is
// one.
func WithStore(path string) (*Set, error) {
	set, err := Default()
	if err != nil || path == "" {
		return set, err
	}
	s, err := OpenStore(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return set, nil
	}
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return set, s.Load(set)
}
