package benchmarks

import (
	"fmt"
	"strconv"
	"strings"
)

// PaperSize is a row of Table 1 of the K2 paper: program size in slots.
type PaperSize struct {
	Program    string
	O1, O2, Os int // 0: did not load
	K2         int
	Seconds    int // to the smallest program
}

// Best is the smallest of clang's sizes.
func (p PaperSize) Best() int { return min(p.O2, p.Os) }

// Reduction is K2's reduction of it, in percent.
func (p PaperSize) Reduction() float64 { return 100 * float64(p.Best()-p.K2) / float64(p.Best()) }

// PaperSizes returns Table 1.
func PaperSizes() ([]PaperSize, error) {
	text, err := files.ReadFile("paper/table1_size.tsv")
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	col := map[string]int{}
	for i, h := range strings.Split(lines[0], "\t") {
		col[h] = i
	}
	var out []PaperSize
	for _, l := range lines[1:] {
		f := strings.Split(l, "\t")
		num := func(name string) int {
			n, err := strconv.Atoi(f[col[name]])
			if err != nil {
				return 0
			}
			return n
		}
		if len(f) != len(col) {
			return nil, fmt.Errorf("table 1: %q", l)
		}
		out = append(out, PaperSize{f[col["program"]], num("O1"), num("O2_O3"), num("Os"), num("K2"), num("K2_seconds")})
	}
	return out, nil
}

// Paper finds the paper's row of a program.
func Paper(name string) (PaperSize, bool) {
	rows, err := PaperSizes()
	if err != nil {
		return PaperSize{}, false
	}
	for _, r := range rows {
		if r.Program == name {
			return r, true
		}
	}
	return PaperSize{}, false
}

func paperOrder(name string) int {
	rows, _ := PaperSizes()
	for i, r := range rows {
		if r.Program == name {
			return i
		}
	}
	return len(rows)
}
