package benchmarks

import (
	"strconv"
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

// number is 0 for what is none (DNL).
func number(s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return n
}

// PaperSizes returns Table 1.
func PaperSizes() ([]PaperSize, error) {
	rows, err := paperRows("table1_size.tsv")
	var out []PaperSize
	for _, r := range rows {
		num := func(name string) int { return int(number(r[name])) }
		out = append(out, PaperSize{r["program"], num("O1"), num("O2_O3"), num("Os"), num("K2"), num("K2_seconds")})
	}
	return out, err
}

// PaperRate is a row of Table 2: the highest loss-free rate of one core, in Mpps.
type PaperRate struct {
	Program string
	O1, O2  float64 // 0: did not load
	K2      float64
}

// Best is the better of clang's.
func (p PaperRate) Best() float64 { return max(p.O1, p.O2) }

// PaperRates returns Table 2.
func PaperRates() ([]PaperRate, error) {
	rows, err := paperRows("table2_throughput.tsv")
	var out []PaperRate
	for _, r := range rows {
		out = append(out, PaperRate{r["program"], number(r["O1"]), number(r["O2_O3"]), number(r["K2"])})
	}
	return out, err
}

// PaperLatency is a row of Table 3: the average latency in microseconds of the best
// of clang's programs and of K2's at an offered load.
type PaperLatency struct {
	Program string
	// Load is low, medium (clang's highest rate), high (the best program's) or
	// saturating (beyond all).
	Load      string
	Mpps      float64 // offered
	Clang, K2 float64
}

// PaperLatencies returns Table 3.
func PaperLatencies() ([]PaperLatency, error) {
	rows, err := paperRows("table3_latency.tsv")
	var out []PaperLatency
	for _, r := range rows {
		out = append(out, PaperLatency{r["program"], r["load"], number(r["offered_mpps"]), number(r["clang_us"]), number(r["K2_us"])})
	}
	return out, err
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
