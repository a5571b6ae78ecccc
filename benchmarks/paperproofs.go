package benchmarks

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// PaperProofs is what the K2 paper says of one program's equivalence checks: a
// row of Table 4, and of Table 6 if it has one.
type PaperProofs struct {
	Program string
	// Time of one check as the paper prints it, in microseconds: with all
	// accelerations, without windows, then without offsets, maps and kinds of
	// memory, one after another.
	All, NoWindows, NoOffsets, NoMaps, NoTypes string
	// Questions to the verdict cache, and answers that it had; 0: not listed.
	Calls, Hits int
}

// HitRate is the part of questions that the cache answered, as text; empty if
// the paper does not say.
func (p *PaperProofs) HitRate() string {
	if p.Calls == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100*float64(p.Hits)/float64(p.Calls))
}

// PaperOfProofs returns the rows of Table 4 with those of Table 6.
func PaperOfProofs() ([]PaperProofs, error) {
	cached, err := paperRows("table6_cache.tsv")
	if err != nil {
		return nil, err
	}
	rows, err := paperRows("table4_equivalence.tsv")
	if err != nil {
		return nil, err
	}
	var out []PaperProofs
	for _, r := range rows {
		p := PaperProofs{r["program"], r["I_II_III_IV_us"], r["I_II_III_us"], r["I_II_us"], r["I_us"], r["none_us"], 0, 0}
		for _, c := range cached {
			if c["program"] == p.Program {
				var e1, e2 error
				p.Hits, e1 = strconv.Atoi(c["hits"])
				p.Calls, e2 = strconv.Atoi(c["calls"])
				if err := cmp.Or(e1, e2); err != nil {
					return nil, fmt.Errorf("table 6: %w", err)
				}
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// paperRows reads a table of the paper, each row by its columns' names.
func paperRows(name string) ([]map[string]string, error) {
	text, err := files.ReadFile("paper/" + name)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	head := strings.Split(lines[0], "\t")
	var out []map[string]string
	for _, l := range lines[1:] {
		f := strings.Split(l, "\t")
		if len(f) != len(head) {
			return nil, fmt.Errorf("%s: %q", name, l)
		}
		row := map[string]string{}
		for i, h := range head {
			row[h] = f[i]
		}
		out = append(out, row)
	}
	return out, nil
}
