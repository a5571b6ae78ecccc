package measure

import (
	"math"
	"math/rand/v2"
	"slices"

	mstats "github.com/aclements/go-moremath/stats"
	"gonum.org/v1/gonum/stat"
)

// Verdict is the outcome of a comparison. The zero value is "don't know".
type Verdict int

// Verdicts, from the rival's point of view.
const (
	Void Verdict = iota // the session proves nothing
	NoDifference
	Faster
	Slower
)

func (v Verdict) String() string {
	switch v {
	case NoDifference:
		return "no difference"
	case Faster:
		return "faster"
	case Slower:
		return "slower"
	}
	return "void"
}

// MarshalText makes records say the verdict in words.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote; anything else is Void.
func (v *Verdict) UnmarshalText(b []byte) error {
	*v = Void
	for _, w := range []Verdict{NoDifference, Faster, Slower} {
		if w.String() == string(b) {
			*v = w
		}
	}
	return nil
}

// Interval is an estimate with its 95 % confidence interval, in ns.
type Interval struct {
	Mid  float64 `json:"mid"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Diff compares a rival with the base.
type Diff struct {
	Name string `json:"name"`
	// Base and Rival are the times of one run, without the measuring loop.
	Base  Interval `json:"base_ns"`
	Rival Interval `json:"rival_ns"`
	// Change is rival minus base; negative is faster.
	Change Interval `json:"change_ns"`
	// Relative is the rival's time over the base's; all zero where the base is
	// not told from a program that does nothing.
	Relative Interval `json:"ratio"`
	// PValue is Mann and Whitney's, over the loads of both sides.
	PValue  float64 `json:"p"`
	Verdict Verdict `json:"verdict"`
}

// Percent returns the change in percent of the base's time.
func (d Diff) Percent() float64 {
	if d.Base.Mid <= 0 {
		return 0
	}
	return 100 * d.Change.Mid / d.Base.Mid
}

// widestRatio is the widest interval that a ratio is quoted with.
const widestRatio = 0.5

// Ratio returns the rival's time in relation to the base's, with its interval.
// It is not ok where the session proves nothing, where base or rival are not told
// from a program that does nothing, or where the interval is wider than 0.5: the
// difference in ns is all there is to say.
func (d Diff) Ratio() (mid, low, high float64, ok bool) {
	r := d.Relative
	if d.Verdict == Void || !(d.Base.Low > 0) || !(r.Low > 0) || !(r.High-r.Low <= widestRatio) {
		return 0, 0, 0, false
	}
	return r.Mid, r.Low, r.High, true
}

const (
	bootstrapRounds = 1000
	confidence      = 0.95
)

// loads holds one side's estimates: by epoch, one number for each load.
type loads [][]float64

func (l loads) flat() []float64 {
	var f []float64
	for _, e := range l {
		f = append(f, e...)
	}
	return f
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Clone(v)
	slices.Sort(s)
	return stat.Quantile(0.5, stat.LinInterp, s, nil)
}

// middleOf puts v in order and returns its median, cheaper than median.
func middleOf(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}

// lowerOf puts v in order and returns its lower quartile: the figure for repeated
// runs of one load. What disturbs a run (interrupts, other virtual machines, cold
// caches) only lengthens it, so on a busy machine the median is the disturbance's,
// with intervals several times as wide.
func lowerOf(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/4]
}

// compare estimates rival minus base by Hodges and Lehmann: the median of the
// differences of all pairs of loads of the same epoch. Where a program lands in
// memory moves short programs by several percent, so a load, not a sample, is
// the unit that the bootstrap draws; epochs are drawn first. floor holds how far
// single estimates of the measuring loop's own time, which base and rival are
// without, were from the one that was taken off: the ratio of short programs
// hangs on it.
func compare(name string, base, rival loads, floor []float64, seed uint64) Diff {
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	pairs := func(a, b []float64, out []float64) []float64 {
		for _, x := range a {
			for _, y := range b {
				out = append(out, y-x)
			}
		}
		return out
	}
	var all []float64
	for e := range base {
		all = pairs(base[e], rival[e], all)
	}
	d := Diff{Name: name, Base: spread(base, rng), Rival: spread(rival, rng), PValue: 1}
	draws, relative := make([]float64, bootstrapRounds), make([]float64, bootstrapRounds)
	var buf, a, b, times, off []float64
	known := d.Base.Mid > 0
	for i := range draws {
		buf, times = buf[:0], times[:0]
		for range base {
			e := rng.IntN(len(base))
			a, b = resample(base[e], a[:0], rng), resample(rival[e], b[:0], rng)
			buf, times = pairs(a, b, buf), append(times, a...)
		}
		draws[i] = middleOf(buf)
		t := middleOf(times)
		if len(floor) > 0 {
			off = resample(floor, off[:0], rng)
			t -= middleOf(off)
		}
		if known = known && t > 0; known {
			relative[i] = max(0, 1+draws[i]/t)
		}
	}
	d.Change = interval(median(all), draws)
	if known {
		d.Relative = interval(max(0, 1+d.Change.Mid/d.Base.Mid), relative)
	}
	if u, err := mstats.MannWhitneyUTest(base.flat(), rival.flat(), mstats.LocationDiffers); err == nil {
		d.PValue = u.P
	}
	return d
}

func resample(from, into []float64, rng *rand.Rand) []float64 {
	for range from {
		into = append(into, from[rng.IntN(len(from))])
	}
	return into
}

// spread is the median of one side over its loads.
func spread(l loads, rng *rand.Rand) Interval {
	f := l.flat()
	draws := make([]float64, bootstrapRounds)
	var buf []float64
	for i := range draws {
		buf = resample(f, buf[:0], rng)
		draws[i] = middleOf(buf)
	}
	return interval(median(f), draws)
}

func interval(mid float64, draws []float64) Interval {
	slices.Sort(draws)
	tail := (1 - confidence) / 2
	return Interval{mid, stat.Quantile(tail, stat.LinInterp, draws, nil), stat.Quantile(1-tail, stat.LinInterp, draws, nil)}
}

// Thresholds below which a difference is not worth a rewrite, whatever its
// significance.
type Thresholds struct {
	Nanos float64 `json:"ns"`    // absolute
	Ratio float64 `json:"ratio"` // of the base's time
}

// DefaultThresholds are what repeated sessions of equal programs stay within.
var DefaultThresholds = Thresholds{Nanos: 0.05, Ratio: 0.005}

// of returns the threshold in ns for a base time.
func (t Thresholds) of(base float64) float64 { return max(t.Nanos, t.Ratio*base) }

// decide turns an interval into a verdict: the whole interval must lie beyond
// the threshold.
func (t Thresholds) decide(d Diff) Verdict {
	limit := t.of(d.Base.Mid)
	switch {
	case math.IsNaN(d.Change.Mid):
		return Void
	case d.Change.High < -limit:
		return Faster
	case d.Change.Low > limit:
		return Slower
	}
	return NoDifference
}

// MeanRatio is the geometric mean of ratios, with its 95 % interval: errors of
// the ratios are taken for independent, and for normal on the logarithmic scale.
// Intervals must lie above 0; the mean of none is 0.
func MeanRatio(ratios []Interval) Interval {
	if len(ratios) == 0 {
		return Interval{}
	}
	var sum, variance float64
	for _, r := range ratios {
		sum += math.Log(r.Mid)
		half := math.Log(r.High/r.Low) / 2
		variance += half * half
	}
	n := float64(len(ratios))
	mid, half := sum/n, math.Sqrt(variance)/n
	return Interval{math.Exp(mid), math.Exp(mid - half), math.Exp(mid + half)}
}
