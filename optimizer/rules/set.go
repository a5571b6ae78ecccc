package rules

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/superbpf/superbpf/optimizer/slice"
)

//go:embed default.txt
var defaultText string

// Set is a collection of rules, ready to be matched.
type Set struct {
	rules []*Rule
	byKey map[string][]*Rule // by the left side without immediates
	texts map[string]bool
}

// Default returns the rules that come with the program.
func Default() (*Set, error) {
	s := new(Set)
	return s, s.Read(strings.NewReader(defaultText), "default.txt")
}

// Read adds the rules of a text: one a line, comments after '#'.
func (s *Set) Read(r io.Reader, name string) error {
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		line, _, _ := strings.Cut(sc.Text(), "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		rule, err := Parse(line)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
		s.Add(rule)
	}
	return sc.Err()
}

// Add adds a rule and reports whether it was new.
func (s *Set) Add(r *Rule) bool {
	if s.byKey == nil {
		s.byKey, s.texts = map[string][]*Rule{}, map[string]bool{}
	}
	if s.texts[r.text] {
		return false
	}
	s.texts[r.text] = true
	s.rules = append(s.rules, r)
	k := r.From.Key(false)
	s.byKey[k] = append(s.byKey[k], r)
	return true
}

// Rules lists the rules in the order in which they were added.
func (s *Set) Rules() []*Rule { return s.rules }

// Write writes the rules, one a line.
func (s *Set) Write(w io.Writer) error {
	for _, r := range s.rules {
		if _, err := fmt.Fprintln(w, r); err != nil {
			return err
		}
	}
	return nil
}

// Name is the name of the transform that uses the rules.
func (s *Set) Name() string { return "rules" }

// Order is that of the sites.
func (s *Set) Order(sites []*slice.Site) []int {
	order := make([]int, len(sites))
	for i := range order {
		order[i] = i
	}
	return order
}

// Terms lists what the rules make of a site: first those that need to know nothing of
// its inputs. Where an input was made in a way that takes the solver long, so does a
// proof of what only holds for some.
func (s *Set) Terms(_ context.Context, x *slice.Site) (out []slice.Term, why []string) {
	for _, wary := range []bool{false, true} {
		for _, r := range s.byKey[x.Term.Key(false)] {
			if r.needsFacts() != wary {
				continue
			}
			if t, ok := r.Instance(&x.Term, x.Facts, x.Mask); ok {
				out = append(out, t)
				why = append(why, " by rule "+r.ID())
			}
		}
	}
	return out, why
}

// Covers reports whether a rule of the set applies wherever r does.
func (s *Set) Covers(r *Rule) bool {
	for _, o := range s.byKey[r.From.Key(false)] {
		if len(o.To.Nodes) <= len(r.To.Nodes) && o.covers(r) {
			return true
		}
	}
	return false
}

// Prune removes the rules that others of the set cover, and returns them.
func (s *Set) Prune() []*Rule {
	var kept, gone []*Rule
	for i, r := range s.rules {
		covered := false
		for j, o := range s.rules {
			if i != j && len(o.To.Nodes) <= len(r.To.Nodes) && o.covers(r) && (j < i || !r.covers(o)) {
				covered = true
				break
			}
		}
		if covered {
			gone = append(gone, r)
		} else {
			kept = append(kept, r)
		}
	}
	*s = Set{}
	for _, r := range kept {
		s.Add(r)
	}
	return gone
}

// covers: o applies wherever r does, as far as samples tell.
func (o *Rule) covers(r *Rule) bool {
	if o.From.Key(false) != r.From.Key(false) {
		return false
	}
	facts := make([]slice.Fact, r.From.Inputs)
	for i := range facts {
		facts[i] = slice.Fact{Zeros: r.Zeros[i], Ones: r.Ones[i]}
	}
	rnd := rand.New(rand.NewPCG(0xc0, 0xde))
	n := 0
	for range 400 {
		from, _, ok := r.sample(rnd)
		if !ok {
			continue
		}
		if _, ok := o.Instance(&from, facts, r.Bits); !ok {
			return false
		}
		if n++; n >= 24 {
			break
		}
	}
	return n > 0
}
