package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/olekukonko/tablewriter"

	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/witness"
)

// verifyResult is what verify found, and what verify --json prints.
type verifyResult struct {
	First     string             `json:"first"`
	Second    string             `json:"second"`
	Solver    string             `json:"solver"`
	Functions []verifiedFunction `json:"functions"`
	Extra     []string           `json:"only_in_second,omitempty"`
	Maps      []mapDifference    `json:"maps,omitempty"`
}

// verifiedFunction is the verdict about a function: Equal, Different, Missing,
// Unknown or Unsupported.
type verifiedFunction struct {
	Name           string          `json:"name"`
	Program        bool            `json:"program"` // false: a subprogram
	Renamed        string          `json:"renamed,omitempty"`
	Verdict        string          `json:"verdict"`
	Reason         string          `json:"reason"`
	Assumes        []string        `json:"assumes,omitempty"`
	Tried          int             `json:"inputs_tried,omitempty"`
	Counterexample *counterexample `json:"counterexample,omitempty"`
}

// counterexample is an input on which two programs differ. Bytes are in hex.
type counterexample struct {
	What    string                `json:"what"`
	Packet  string                `json:"packet,omitempty"`
	Context string                `json:"context,omitempty"`
	Maps    map[string][]mapEntry `json:"maps,omitempty"` // before the run; others are empty
	First   string                `json:"first_returns"`
	Second  string                `json:"second_returns"`
	// Kernel is what the running kernel said to it.
	Kernel string `json:"kernel"`

	input *interp.Input
}

type mapEntry struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// mapDifference says how two definitions of a map differ.
type mapDifference struct {
	Name string `json:"name"`
	What string `json:"what"`
}

// compareMaps lists the maps that both objects do not define alike. What a loader
// puts into maps beyond the definition is not known here.
func compareMaps(a, b map[string]*prog.Map) []mapDifference {
	var out []mapDifference
	for name, x := range a {
		if y := b[name]; y == nil {
			out = append(out, mapDifference{name, "the second object has no such map"})
		} else if what := differentMap(x, y); what != "" {
			out = append(out, mapDifference{name, what})
		}
	}
	for name := range b {
		if a[name] == nil {
			out = append(out, mapDifference{name, "the first object has no such map"})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func differentMap(x, y *prog.Map) string {
	var out []string
	for _, c := range []struct {
		what string
		x, y uint32
	}{{"type", uint32(x.Type), uint32(y.Type)}, {"key size", x.KeySize, y.KeySize}, {"value size", x.ValueSize, y.ValueSize},
		{"max_entries", x.MaxEntries, y.MaxEntries}, {"flags", x.Flags, y.Flags}} {
		if c.x != c.y {
			out = append(out, fmt.Sprintf("%s %d and %d", c.what, c.x, c.y))
		}
	}
	if !bytes.Equal(x.Data, y.Data) && x.ValueSize == y.ValueSize {
		out = append(out, "initial contents differ")
	}
	switch {
	case (x.Inner == nil) != (y.Inner == nil):
		out = append(out, "one has no inner map")
	case x.Inner != nil:
		if in := differentMap(x.Inner, y.Inner); in != "" {
			out = append(out, "inner map: "+in)
		}
	}
	return strings.Join(out, ", ")
}

// callees marks programs that are equal themselves and call what is not.
func (r *verifyResult) callees(a *elf.Object) {
	for i := range r.Functions {
		if f := r.Functions[i]; f.Verdict == "Equal" || f.Program {
			continue
		}
		for _, user := range a.Users(i) {
			for k := range r.Functions {
				if u := &r.Functions[k]; u.Program && u.Name == user && u.Verdict == "Equal" {
					u.Verdict, u.Reason = "Unknown", "equal but for "+r.Functions[i].Name+", which it contains"
				}
			}
		}
	}
}

// found records the search for a difference.
func (f *verifiedFunction) found(w *witness.Witness, n int, err error) {
	f.Tried = n
	switch {
	case w != nil:
		f.Verdict, f.Reason = "Different", w.What
		c := &counterexample{What: w.What, Packet: hex.EncodeToString(w.Input.Packet), Context: hex.EncodeToString(w.Input.Ctx),
			First: fmt.Sprintf("%#x", w.A.R0), Second: fmt.Sprintf("%#x", w.B.R0), input: w.Input, Maps: map[string][]mapEntry{}}
		if len(bytes.Trim(w.Input.Ctx, "\x00")) == 0 {
			c.Context = ""
		}
		for name, entries := range w.Input.Maps {
			for _, e := range entries {
				c.Maps[name] = append(c.Maps[name], mapEntry{hex.EncodeToString(e.Key), hex.EncodeToString(e.Value)})
			}
		}
		f.Counterexample = c
	case errors.Is(err, interp.ErrUnsupported), errors.Is(err, witness.ErrChance):
		f.Reason += "; no inputs were tried: " + err.Error()
	case n > 0:
		f.Reason += fmt.Sprintf("; the same on %d inputs", n)
	}
}

// failing counts what keeps the second object from being a replacement.
func (r *verifyResult) failing() int {
	n := len(r.Maps)
	for _, f := range r.Functions {
		// A subprogram that is gone is no loss where the programs are equal.
		if f.Verdict != "Equal" && (f.Program || f.Verdict != "Missing") {
			n++
		}
	}
	return n
}

func (r *verifyResult) write(w io.Writer) error {
	t := tablewriter.NewWriter(w)
	t.Header("function", "verdict", "how")
	var n notes
	for _, f := range r.Functions {
		how := f.Reason
		if f.Renamed != "" {
			how = "now " + f.Renamed + "; " + how
		}
		if len(f.Assumes) > 0 {
			how += " " + n.add(f.Name, "assumes: "+strings.Join(f.Assumes, "; "))
		}
		if f.Counterexample != nil {
			how = "an input below shows it"
		} else if len(how) > 60 {
			how = "see " + n.add(f.Name, how)
		}
		if err := t.Append(shorten(f.Name, nameWidth), f.Verdict, how); err != nil {
			return err
		}
	}
	if err := t.Render(); err != nil {
		return err
	}
	if err := n.write(w); err != nil {
		return err
	}
	for _, m := range r.Maps {
		if _, err := fmt.Fprintf(w, "map %s: %s\n", m.Name, m.What); err != nil {
			return err
		}
	}
	if len(r.Extra) > 0 {
		if _, err := fmt.Fprintf(w, "only in the second object: %s\n", strings.Join(r.Extra, ", ")); err != nil {
			return err
		}
	}
	for _, f := range r.Functions {
		if f.Counterexample != nil {
			if err := f.Counterexample.write(w, f.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *counterexample) write(w io.Writer, name string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s differs on this input (%s):\n  packet   %s\n", name, c.What, c.Packet)
	if c.Context != "" {
		fmt.Fprintf(&b, "  context  %s\n", c.Context)
	}
	var names []string
	for m := range c.Maps {
		names = append(names, m)
	}
	sort.Strings(names)
	for _, m := range names {
		for _, e := range c.Maps[m] {
			fmt.Fprintf(&b, "  map %s   %s -> %s\n", m, e.Key, e.Value)
		}
	}
	fmt.Fprintf(&b, "  returns  %s and %s\n  kernel   %s\n", c.First, c.Second, c.Kernel)
	_, err := io.WriteString(w, b.String())
	return err
}
